// Command pause holds a pod's namespaces: it waits until it is told to end, and buries what the pod's programs leave.
//
// With -v it says what it is and ends: so kubeadm tries before an upgrade whether the cluster carries a Job.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause of the practice cluster")
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for {
		if received := <-signals; received != syscall.SIGCHLD {
			return
		}
		// One signal may stand for several children that have ended.
		for {
			child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if child <= 0 || err != nil {
				break
			}
		}
	}
}
