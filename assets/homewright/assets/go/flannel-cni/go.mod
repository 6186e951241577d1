module homewright.invalid/flannel-cni

go 1.26
