// Command kube is the programs of Kubernetes in one file: which one it is, the name that it is called by says.
//
// They share nearly all of their code. One file takes a fifth of the space of eight, and is linked once.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubeadmerrors "k8s.io/kubernetes/cmd/kubeadm/app/util/errors"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

func serve(command *cobra.Command) int { return cli.Run(command) }

var programs = map[string]func() int{
	"kube-apiserver":          func() int { return serve(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() int { return serve(controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() int { return serve(scheduler.NewSchedulerCommand()) },
	"kube-proxy":              func() int { return serve(proxy.NewProxyCommand()) },
	"kubelet":                 func() int { return serve(kubelet.NewKubeletCommand(context.Background())) },
	"kubectl": func() int {
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err) // in kubectl's own words, and with its exit code
		}
		return 0
	},
	"kubeadm": func() int {
		kubeadmerrors.HandleError(kubeadm.Run()) // as kubectl: its own exit codes
		return 0
	},
}

func main() {
	name := filepath.Base(os.Args[0])
	if programs[name] == nil && len(os.Args) > 1 { // called by the file's own name: the program is the first word
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	run := programs[name]
	if run == nil {
		names := make([]string, 0, len(programs))
		for known := range programs {
			names = append(names, known)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "usage: kube PROGRAM [flags]; PROGRAM is one of %s\n", strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Exit(run())
}
