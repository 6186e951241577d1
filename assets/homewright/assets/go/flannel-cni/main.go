// Command flannel is a CNI plugin: it hands the subnet that flanneld has been given for this node to the plugin bridge.
//
// The practice cluster uses it where flannel's own plugin cannot be had as a Go module. It knows what flannel's
// configuration says about delegation, and nothing else.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const environment = "/run/flannel/subnet.env"

type configuration struct {
	Version  string         `json:"cniVersion"`
	Name     string         `json:"name"`
	Subnets  string         `json:"subnetFile"`
	Delegate map[string]any `json:"delegate"`
	Runtime  map[string]any `json:"runtimeConfig"`
	Previous map[string]any `json:"prevResult"`
}

func main() {
	if os.Getenv("CNI_COMMAND") == "VERSION" {
		fmt.Println(`{"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0"]}`)
		return
	}
	if err := run(); err != nil {
		// CNI's form of an error, on standard output; 11 asks the runtime to try again later.
		said, _ := json.Marshal(map[string]any{"cniVersion": "1.0.0", "code": 11, "msg": err.Error()})
		fmt.Println(string(said))
		os.Exit(1)
	}
}

func run() error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var config configuration
	if err := json.Unmarshal(input, &config); err != nil {
		return fmt.Errorf("flannel's configuration: %w", err)
	}
	if config.Subnets == "" {
		config.Subnets = environment
	}
	leases, err := read(config.Subnets)
	removing := os.Getenv("CNI_COMMAND") == "DEL"
	if errors.Is(err, fs.ErrNotExist) && removing {
		return nil // flanneld never came so far as to give this pod an address
	}
	if err != nil {
		return fmt.Errorf("flanneld has given this node no subnet yet: %w", err)
	}
	delegate, err := delegated(config, leases)
	if err != nil {
		return err
	}
	return hand(delegate)
}

// read takes apart the lines NAME=VALUE that flanneld writes.
func read(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			found[name] = value
		}
	}
	return found, nil
}

func delegated(config configuration, leases map[string]string) (map[string]any, error) {
	subnet, err := netip.ParsePrefix(leases["FLANNEL_SUBNET"])
	if err != nil {
		return nil, fmt.Errorf("the subnet in flanneld's file: %w", err)
	}
	made := map[string]any{"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true}
	maps.Copy(made, config.Delegate)
	made["cniVersion"], made["name"] = config.Version, config.Name
	made["ipMasq"] = leases["FLANNEL_IPMASQ"] != "true" // else flanneld does it
	if mtu, err := strconv.Atoi(leases["FLANNEL_MTU"]); err == nil && made["mtu"] == nil {
		made["mtu"] = mtu
	}
	addresses := map[string]any{
		"type":   "host-local",
		"ranges": []any{[]any{map[string]any{"subnet": subnet.Masked().String()}}},
	}
	if network := leases["FLANNEL_NETWORK"]; network != "" {
		addresses["routes"] = []any{map[string]any{"dst": network}}
	}
	made["ipam"] = addresses
	if config.Runtime != nil {
		made["runtimeConfig"] = config.Runtime
	}
	if config.Previous != nil {
		made["prevResult"] = config.Previous
	}
	return made, nil
}

// hand runs the plugin that does the work, with our environment; what it says is our answer.
func hand(delegate map[string]any) error {
	name, _ := delegate["type"].(string)
	for _, folder := range append(filepath.SplitList(os.Getenv("CNI_PATH")), "/usr/lib/cni") {
		program := filepath.Join(folder, filepath.Base(name))
		if _, err := os.Stat(program); err != nil {
			continue
		}
		input, err := json.Marshal(delegate)
		if err != nil {
			return err
		}
		command := exec.Command(program)
		command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), os.Stdout, os.Stderr
		err = command.Run()
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			os.Exit(ended.ExitCode()) // it has said why
		}
		return err
	}
	return fmt.Errorf("there is no plugin %q in %s", name, os.Getenv("CNI_PATH"))
}
