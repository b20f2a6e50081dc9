package buildcontext

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// memoFile is a file of records.
func memoFile(records ...record) []byte {
	var body []byte
	for i := range records {
		body = records[i].append(body)
	}
	b := append([]byte(memoMagic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[len(memoMagic):], uint32(len(records)))
	binary.LittleEndian.PutUint32(b[len(memoMagic)+4:], crc32.Checksum(body, castagnoli))
	return append(b, body...)
}

// Whatever is in a file, reading it ends, and what it is taken for is in it.
func FuzzMemo(f *testing.F) {
	f.Add(memoFile())
	f.Add(memoFile(record{key: fileKey{1, 2}, size: 3, day: 4}, record{key: fileKey{1, 5}, ctime: -1, sum: sum{1}}))
	f.Add(memoFile(record{key: fileKey{9, 9}}, record{key: fileKey{1, 1}}))
	f.Add([]byte("cfssums1\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "m")
		must(t, os.WriteFile(path, b, 0o600))
		m := openMemo(path)
		for i := range len(m.old) / recordSize {
			r := recordAt(m.old, i)
			if string(r.append(nil)) != string(m.old[i*recordSize:(i+1)*recordSize]) {
				t.Errorf("record %d is read as %+v", i, r)
			}
			search(m.old, r.key)
		}
		search(m.old, fileKey{1, 1})
		m.merged(m.old, 1)
	})
}
