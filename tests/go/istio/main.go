// Command judge holds objects to the rules by which Istio's webhook takes or refuses them.
//
// It reads objects as JSON from its standard input, one after the other, and prints a line of JSON for each: what is
// wrong with it, and what it is warned of. A field that Istio does not have is wrong.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/golang/protobuf/jsonpb" //nolint:staticcheck // Istio's own objects are read by it
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/validation"
)

type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace     string
		Labels, Annotations map[string]string
	}
	Spec json.RawMessage
}

type verdict struct {
	Wrong   string `json:"wrong"`
	Warning string `json:"warning"`
}

func judged(one object) (validation.Warning, error) {
	meta := config.Meta{
		Name: one.Metadata.Name, Namespace: one.Metadata.Namespace,
		Labels: one.Metadata.Labels, Annotations: one.Metadata.Annotations,
	}
	strict := jsonpb.Unmarshaler{}
	switch one.Kind {
	case "VirtualService":
		spec := &networking.VirtualService{}
		if err := strict.Unmarshal(strings.NewReader(string(one.Spec)), spec); err != nil {
			return nil, err
		}
		return validation.ValidateVirtualService(config.Config{Meta: meta, Spec: spec})
	case "Gateway":
		spec := &networking.Gateway{}
		if err := strict.Unmarshal(strings.NewReader(string(one.Spec)), spec); err != nil {
			return nil, err
		}
		return validation.ValidateGateway(config.Config{Meta: meta, Spec: spec})
	}
	return nil, fmt.Errorf("no rules for %q", one.Kind)
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func main() {
	from, to := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var one object
		if err := from.Decode(&one); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		warning, err := judged(one)
		if err := to.Encode(verdict{words(err), words(warning)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
