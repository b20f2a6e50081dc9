package unionfs

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestWireSizes holds the structures that are read by pointing at a request
// against linux/fuse.h: the sizes are the kernel's, with the 40 bytes of the
// header where there is one.
func TestWireSizes(t *testing.T) {
	const in, out = 40, 16
	got := map[string]uintptr{
		"in_header": unsafe.Sizeof(fuse.InHeader{}), "out_header": unsafe.Sizeof(fuse.OutHeader{}),
		"forget_in": unsafe.Sizeof(fuse.ForgetIn{}), "batch_forget_in": unsafe.Sizeof(batchForgetIn{}),
		"forget_one": unsafe.Sizeof(forgetOne{}), "getattr_in": unsafe.Sizeof(fuse.GetAttrIn{}),
		"setattr_in": unsafe.Sizeof(fuse.SetAttrIn{}), "mknod_in": unsafe.Sizeof(fuse.MknodIn{}),
		"mkdir_in": unsafe.Sizeof(fuse.MkdirIn{}), "rename_in": unsafe.Sizeof(rename1In{}),
		"rename2_in": unsafe.Sizeof(fuse.RenameIn{}), "link_in": unsafe.Sizeof(fuse.LinkIn{}),
		"open_in": unsafe.Sizeof(fuse.OpenIn{}), "create_in": unsafe.Sizeof(fuse.CreateIn{}),
		"read_in": unsafe.Sizeof(fuse.ReadIn{}), "write_in": unsafe.Sizeof(fuse.WriteIn{}),
		"release_in": unsafe.Sizeof(fuse.ReleaseIn{}), "flush_in": unsafe.Sizeof(fuse.FlushIn{}),
		"fsync_in": unsafe.Sizeof(fuse.FsyncIn{}), "setxattr_in compat": unsafe.Sizeof(setxattr1In{}),
		"getxattr_in": unsafe.Sizeof(fuse.GetXAttrIn{}), "lk_in": unsafe.Sizeof(fuse.LkIn{}),
		"access_in": unsafe.Sizeof(fuse.AccessIn{}), "init_in": unsafe.Sizeof(fuse.InitIn{}),
		"ioctl_in": unsafe.Sizeof(fuse.IoctlIn{}), "fallocate_in": unsafe.Sizeof(fuse.FallocateIn{}),
		"lseek_in": unsafe.Sizeof(fuse.LseekIn{}), "copy_file_range_in": unsafe.Sizeof(fuse.CopyFileRangeIn{}),
		"statx_in":  unsafe.Sizeof(fuse.StatxIn{}),
		"entry_out": unsafe.Sizeof(fuse.EntryOut{}), "attr_out": unsafe.Sizeof(fuse.AttrOut{}),
		"open_out": unsafe.Sizeof(fuse.OpenOut{}), "create_out": unsafe.Sizeof(fuse.CreateOut{}),
		"write_out": unsafe.Sizeof(fuse.WriteOut{}), "statfs_out": unsafe.Sizeof(fuse.StatfsOut{}),
		"getxattr_out": unsafe.Sizeof(fuse.GetXAttrOut{}), "lk_out": unsafe.Sizeof(fuse.LkOut{}),
		"init_out": unsafe.Sizeof(fuse.InitOut{}), "ioctl_out": unsafe.Sizeof(fuse.IoctlOut{}),
		"lseek_out": unsafe.Sizeof(fuse.LseekOut{}), "statx_out": unsafe.Sizeof(fuse.StatxOut{}),
	}
	want := map[string]uintptr{
		"in_header": in, "out_header": out,
		"forget_in": in + 8, "batch_forget_in": in + 8, "forget_one": 16, "getattr_in": in + 16,
		"setattr_in": in + 88, "mknod_in": in + 16, "mkdir_in": in + 8, "rename_in": in + 8,
		"rename2_in": in + 16, "link_in": in + 8, "open_in": in + 8, "create_in": in + 16,
		"read_in": in + 40, "write_in": in + 40, "release_in": in + 24, "flush_in": in + 24,
		"fsync_in": in + 16, "setxattr_in compat": in + 8, "getxattr_in": in + 8, "lk_in": in + 48,
		"access_in": in + 8, "init_in": in + 64, "ioctl_in": in + 32, "fallocate_in": in + 32,
		"lseek_in": in + 24, "copy_file_range_in": in + 56, "statx_in": in + 24,
		"entry_out": 128, "attr_out": 104, "open_out": 16, "create_out": 144, "write_out": 8,
		"statfs_out": 80, "getxattr_out": 8, "lk_out": 24, "init_out": 64, "ioctl_out": 16,
		"lseek_out": 8, "statx_out": 288,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// fakeFS answers everything with what is easy to recognise, and remembers the names.
type fakeFS struct {
	fuse.RawFileSystem
	names  []string
	forgot map[uint64]uint64
}

func newFakeFS() *fakeFS {
	return &fakeFS{RawFileSystem: fuse.NewDefaultRawFileSystem(), forgot: make(map[uint64]uint64)}
}

func (f *fakeFS) Forget(id, n uint64) { f.forgot[id] += n }

func (f *fakeFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.names = append(f.names, name)
	out.NodeId = 7
	return fuse.OK
}

func (f *fakeFS) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	f.names = append(f.names, from, to)
	if in.Newdir != 5 {
		return fuse.EINVAL
	}
	return fuse.Status(in.Flags)
}

func (f *fakeFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	switch in.Offset {
	case 0: // in the buffer
		return fuse.ReadResultData(append(buf[:0], "data"...)), fuse.OK
	case 1: // elsewhere
		return fuse.ReadResultData([]byte("other")), fuse.OK
	}
	return nil, fuse.Status(unix.ENXIO)
}

func (f *fakeFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f.names = append(f.names, string(data))
	return uint32(len(data)), fuse.OK
}

func (f *fakeFS) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	f.names = append(f.names, name)
	if len(dest) < 5 {
		return 5, fuse.ERANGE
	}
	return uint32(copy(dest, "value")), fuse.OK
}

func (f *fakeFS) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	f.names = append(f.names, name, string(data))
	return fuse.Status(in.Flags)
}

func (f *fakeFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return fuse.Status(-3) // a bug
}

func (f *fakeFS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	return []byte("../target"), fuse.OK
}

// request makes a message; the header's length is filled in.
func request(op uint32, parts ...any) []byte {
	b := make([]byte, inHeaderSize)
	ne := binary.NativeEndian
	ne.PutUint32(b[4:], op)
	ne.PutUint64(b[8:], 99)
	ne.PutUint64(b[16:], 3)
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case int:
			b = ne.AppendUint64(b, uint64(p))
		case uint32:
			b = ne.AppendUint32(b, p)
		}
	}
	ne.PutUint32(b, uint32(len(b)))
	return b
}

func newTestExchange(t testing.TB, fs fuse.RawFileSystem) *exchange {
	t.Helper()
	x, err := newExchange(fs, 1<<20, new(pollAnswer), nil)
	must(t, err)
	t.Cleanup(x.close)
	return x
}

func TestExchange(t *testing.T) {
	type result struct {
		Silent bool
		Errno  int32
		Body   string
		Names  []string
	}
	u32 := func(v uint32) string { return string(binary.NativeEndian.AppendUint32(nil, v)) }
	for _, c := range []struct {
		name string
		msg  []byte
		want result
	}{
		{"shorter than a header", request(opLookup)[:39], result{Silent: true}},
		{"length is wrong", append(request(opLookup, "a\x00"), 0), result{Errno: -5}},
		{"name without an end", request(opLookup, "a"), result{Errno: -5}},
		{"no name", request(opUnlink), result{Errno: -5}},
		{"lookup gives the name on", request(opLookup, "abc\x00"), result{Names: []string{"abc"}, Body: "\x07" + string(make([]byte, 127))}},
		{"rename has no flags", request(opRename, 5, "a\x00b\x00"), result{Names: []string{"a", "b"}}},
		{"rename2 has", request(opRename2, 5, uint32(17), uint32(0), "a\x00b\x00"), result{Errno: -17, Names: []string{"a", "b"}}},
		{"rename with one name", request(opRename2, 5, 0, "a\x00b"), result{Errno: -5}},
		{"read into the buffer", request(opRead, 0, 0, uint32(4096), uint32(0), 0, 0), result{Body: "data"}},
		{"read from elsewhere", request(opRead, 0, 1, uint32(4096), uint32(0), 0, 0), result{Body: "other"}},
		{"read no more than asked for", request(opRead, 0, 1, uint32(2), uint32(0), 0, 0), result{Body: "ot"}},
		{"read fails", request(opRead, 0, 2, uint32(4096), uint32(0), 0, 0), result{Errno: -6}},
		{"read of more than was agreed on", request(opRead, 0, 0, uint32(1<<30), uint32(0), 0, 0), result{Errno: -22}},
		{"read cut short", request(opRead, 0, 0), result{Errno: -5}},
		{"write", request(opWrite, 0, 0, uint32(3), uint32(0), 0, 0, "xyz"), result{Names: []string{"xyz"}, Body: u32(3) + u32(0)}},
		{"write of less than it says", request(opWrite, 0, 0, uint32(4), uint32(0), 0, 0, "xyz"), result{Errno: -5}},
		{"getxattr", request(opGetxattr, uint32(64), uint32(0), "user.a\x00"), result{Names: []string{"user.a"}, Body: "value"}},
		{"getxattr of the size", request(opGetxattr, uint32(0), uint32(0), "security.capability\x00"), result{Names: []string{"security.capability"}, Body: u32(5) + u32(0)}},
		{"getxattr without room", request(opGetxattr, uint32(3), uint32(0), "user.a\x00"), result{Names: []string{"user.a"}, Errno: -34}},
		{"setxattr", request(opSetxattr, uint32(2), uint32(0), "user.a\x00v\x00"), result{Names: []string{"user.a", "v\x00"}}},
		{"setxattr of less than it says", request(opSetxattr, uint32(3), uint32(0), "user.a\x00v\x00"), result{Errno: -5}},
		{"readlink", request(opReadlink), result{Body: "../target"}},
		{"an errno that is none", request(opGetattr, 0, 0), result{Errno: -5}},
		{"interrupt", request(opInterrupt, 1), result{Silent: true}},
		{"forget", request(opForget, 1), result{Silent: true}},
		{"destroy", request(opDestroy), result{}},
		{"unknown", request(4096), result{Errno: -38}},
		{"poll", request(opPoll, 0, 0, 0), result{Errno: -38}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := newFakeFS()
			x := newTestExchange(t, fs)
			reply := x.answer(copy(x.space(), c.msg))
			got := result{Silent: reply == nil, Names: fs.names}
			if reply != nil {
				h := (*fuse.OutHeader)(unsafe.Pointer(&reply[0]))
				if int(h.Length) != len(reply) || h.Unique != 99 {
					t.Errorf("header %+v of a reply of %d bytes", *h, len(reply))
				}
				got.Errno, got.Body = h.Status, string(reply[outHeaderSize:])
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBatchForget(t *testing.T) {
	fs := newFakeFS()
	x := newTestExchange(t, fs)
	// Says three and holds two; the file that shows up once is not the file system's.
	x.answer(copy(x.space(), request(opBatchForget, uint32(3), uint32(0), 4, 2, -1, 1)))
	x.answer(copy(x.space(), request(opBatchForget, uint32(2), uint32(0), 4, 1, 9, 5)))
	if d := cmp.Diff(map[uint64]uint64{4: 3, 9: 5}, fs.forgot); d != "" {
		t.Error(d)
	}
}

// steadyFS answers what is asked again and again, without an allocation.
type steadyFS struct{ fuse.RawFileSystem }

func (steadyFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.Mode = unix.S_IFREG
	return fuse.OK
}

func (steadyFS) GetXAttr(<-chan struct{}, *fuse.InHeader, string, []byte) (uint32, fuse.Status) {
	return 0, fuse.ENODATA
}

func (steadyFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return uint32(len(data)), fuse.OK
}

func (steadyFS) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	out.AddDirLookupEntry(fuse.DirEntry{Name: "name", Ino: 4}).NodeId = 4
	return fuse.OK
}

func (steadyFS) Forget(uint64, uint64) {}

func (steadyFS) readInto(_ *fuse.ReadIn, buf []byte) (int, fuse.Status) { return len(buf), fuse.OK }

// TestExchangeAllocates: in the steady state the transport allocates nothing.
func TestExchangeAllocates(t *testing.T) {
	x := newTestExchange(t, steadyFS{fuse.NewDefaultRawFileSystem()})
	for name, msg := range map[string][]byte{
		"GETATTR":     request(opGetattr, 0, 0),
		"READ":        request(opRead, 0, 0, uint32(4096), uint32(0), 0, 0),
		"WRITE":       request(opWrite, 0, 0, uint32(3), uint32(0), 0, 0, "xyz"),
		"GETXATTR":    request(opGetxattr, uint32(0), uint32(0), "security.capability\x00"),
		"READDIRPLUS": request(opReaddirplus, 0, 0, uint32(4096), uint32(0), 0, 0),
		"FORGET":      request(opBatchForget, uint32(1), uint32(0), 4, 2),
	} {
		if n := testing.AllocsPerRun(100, func() { x.answer(copy(x.space(), msg)) }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// FuzzExchange: whatever arrives, nothing is read beyond it, and a reply is as
// long as it says.
func FuzzExchange(f *testing.F) {
	for op := range uint32(54) {
		f.Add(request(op, 5, 5, uint32(64), uint32(0), 0, 0, 0, 0, 0, 0, 0, "a\x00b\x00"))
		f.Add(request(op, uint32(8), uint32(0), "a\x00b\x00"))
		f.Add(request(op, "name\x00target\x00"))
	}
	low := scratch(f)
	write(f, low+"/a", "contents")
	up := scratch(f)
	mkdirs(f, up+"/up", up+"/work")
	fs, err := New(Options{LowerDirs: []string{low}, Upper: up + "/up", Work: up + "/work"})
	must(f, err)
	f.Cleanup(func() { fs.Close() })
	x := newTestExchange(f, newFakeFS())
	y := newTestExchange(f, readOnlyForget{fs})
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, x := range []*exchange{x, y} {
			n := copy(x.space(), msg)
			reply := x.answer(n)
			if reply == nil {
				continue
			}
			if h := (*fuse.OutHeader)(unsafe.Pointer(&reply[0])); int(h.Length) != len(reply) || h.Status > 0 || h.Status <= -512 {
				t.Fatalf("header %+v of a reply of %d bytes", *h, len(reply))
			}
		}
	})
}

// readOnlyForget keeps a fuzzer from forgetting what was never looked up, which
// no kernel does.
type readOnlyForget struct{ fuse.RawFileSystem }

func (readOnlyForget) Forget(uint64, uint64) {}
