// Package dm asks the kernel's device mapper for devices, by ioctl(2) on
// /dev/mapper/control (include/uapi/linux/dm-ioctl.h). It needs no program and
// no udev: a device is used as /dev/dm-<minor>, which devtmpfs makes.
//
//	Open ──► Control ──Create, Load, Resume──► a device with a table of targets
//	                 ├─Message, Status, Table─► what a target is told, and tells
//	                 └─Remove(deferred)──────► gone now, or when nobody has it open
//
// # Vocabulary
//
//   - table: what the sectors of a device are mapped to, one target after the other.
//     The devices here have one.
//   - target: a kind of mapping, such as "thin" or "thin-pool", with its parameters
//     (Documentation/admin-guide/device-mapper/).
//   - sector: 512 bytes, whatever the disk's are.
//   - deferred: a device that is to go as soon as the last who has it open
//     closes it; whether that one knows of it or was killed.
package dm
