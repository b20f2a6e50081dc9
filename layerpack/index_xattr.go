package layerpack

// xattrBody is the room of n's extended attributes behind their header.
func (x *Index) xattrBody(n NID) ([]byte, error) {
	var i inode
	if err := x.inode(n, &i); err != nil {
		return nil, err
	}
	if i.xattrs == 0 {
		return nil, nil
	}
	b, err := x.span(i.at+inodeSize, i.xattrSize(), n)
	if err != nil {
		return nil, err
	}
	if b[4] != 0 {
		return nil, x.corrupt("inode %d has shared attributes", n)
	}
	return b[xattrHeaderSize:], nil
}

// nextXattr splits the first attribute off b. Its name is prefix + rest. A
// prefix of "" ends the list.
func (x *Index) nextXattr(b []byte, n NID) (prefix string, rest, value, after []byte, err error) {
	if len(b) < xattrEntrySize {
		return "", nil, nil, nil, nil
	}
	index, nameLen, valueLen := int(b[1]), int(b[0]), int(le.Uint16(b[2:]))
	if index == 0 && nameLen == 0 && valueLen == 0 {
		return "", nil, nil, nil, nil // padding
	}
	end := xattrEntrySize + nameLen + valueLen
	if index >= len(xattrPrefixes) || xattrPrefixes[index] == "" || end > len(b) {
		return "", nil, nil, nil, x.corrupt("inode %d has a bad attribute", n)
	}
	rest = b[xattrEntrySize : xattrEntrySize+nameLen : xattrEntrySize+nameLen]
	value = b[xattrEntrySize+nameLen : end : end]
	return xattrPrefixes[index], rest, value, b[min(len(b), int(align(uint64(end), xattrEntrySize))):], nil
}

// Xattr is the value of n's extended attribute name, or ErrNoXattr, unwrapped.
// It aliases the map.
func (x *Index) Xattr(n NID, name []byte) ([]byte, error) {
	b, err := x.xattrBody(n)
	for err == nil && len(b) > 0 {
		var prefix string
		var rest, value []byte
		prefix, rest, value, b, err = x.nextXattr(b, n)
		if prefix == "" {
			break
		}
		if len(name) == len(prefix)+len(rest) && string(name[:len(prefix)]) == prefix && string(name[len(prefix):]) == string(rest) {
			return value, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, ErrNoXattr
}

// Xattrs calls fn for each extended attribute of n until it returns false. The
// name is only valid during the call; the value aliases the map.
func (x *Index) Xattrs(n NID, fn func(name, value []byte) bool) error {
	b, err := x.xattrBody(n)
	if err != nil || len(b) == 0 {
		return err
	}
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	for len(b) > 0 {
		prefix, rest, value, after, err := x.nextXattr(b, n)
		if err != nil {
			return err
		}
		if prefix == "" {
			return nil
		}
		if !fn(append(append(s.name[:0], prefix...), rest...), value) {
			return nil
		}
		b = after
	}
	return nil
}
