package imagecmd

// HostLimits are those of Docker's HostConfig by which a container is limited.
type HostLimits struct {
	RestartPolicy        HostRestart
	CgroupnsMode         string
	CgroupParent         string
	CPUShares            int64 `json:"CpuShares"`
	Memory               int64 // bytes, as the others
	NanoCPUs             int64 `json:"NanoCpus"`
	BlkioWeight          uint16
	BlkioWeightDevice    []HostWeight
	BlkioDeviceReadBps   []DeviceRate
	BlkioDeviceWriteBps  []DeviceRate
	BlkioDeviceReadIOps  []DeviceRate
	BlkioDeviceWriteIOps []DeviceRate
	CPUPeriod            int64 `json:"CpuPeriod"`
	CPUQuota             int64 `json:"CpuQuota"`
	CpusetCpus           string
	CpusetMems           string
	Devices              []HostDevice
	DeviceCgroupRules    []string
	MemoryReservation    int64
	MemorySwap           int64
	MemorySwappiness     *int64
	OomKillDisable       bool
	PidsLimit            *int64
}

// HostRestart is a restart policy in Docker's terms.
type HostRestart struct {
	Name              string
	MaximumRetryCount int
}

// HostWeight is the weight of a block device.
type HostWeight struct {
	Path   string
	Weight uint16
}

// HostDevice is a device that a container was given.
type HostDevice struct {
	PathOnHost        string
	PathInContainer   string
	CgroupPermissions string
}

func (o ContainerOptions) hostLimits() HostLimits {
	l := o.Limits
	h := HostLimits{
		RestartPolicy: HostRestart{Name: restartNo, MaximumRetryCount: o.Restart.Retries}, CgroupnsMode: "private", CgroupParent: o.CgroupParent,
		CPUShares: l.CPUShares, Memory: l.Memory, NanoCPUs: l.NanoCPUs, BlkioWeight: l.BlkioWeight, BlkioWeightDevice: []HostWeight{},
		BlkioDeviceReadBps: l.ReadBps, BlkioDeviceWriteBps: l.WriteBps, BlkioDeviceReadIOps: l.ReadIOps, BlkioDeviceWriteIOps: l.WriteIOps,
		CPUPeriod: l.CPUPeriod, CPUQuota: l.CPUQuota, CpusetCpus: l.CpusetCpus, CpusetMems: l.CpusetMems,
		Devices: []HostDevice{}, DeviceCgroupRules: o.DeviceRules, MemoryReservation: l.MemoryReservation, MemorySwap: l.MemorySwap,
		MemorySwappiness: l.MemorySwappiness, OomKillDisable: l.OOMKillDisable, PidsLimit: l.PidsLimit,
	}
	if !o.Restart.none() {
		h.RestartPolicy.Name = o.Restart.Name
	}
	if o.CgroupNS != "" {
		h.CgroupnsMode = o.CgroupNS
	}
	for _, d := range l.WeightDevices {
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, HostWeight{d.Path, uint16(d.Rate)})
	}
	for _, d := range o.Devices {
		h.Devices = append(h.Devices, HostDevice{d.Host, d.Container, d.access()})
	}
	return h
}
