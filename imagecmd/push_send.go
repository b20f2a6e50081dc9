package imagecmd

import (
	"context"
	"sort"
	"sync"

	"github.com/cfs-project/cfs/imagecmd/internal/parallel"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/progress"
	"github.com/cfs-project/cfs/internal/reference"
)

// uploads is how many blobs are sent at once, as Docker does.
const uploads = 5

// send brings a list into the repository: blobs, then manifests, the last by its tag.
func (p *pusher) send(ctx context.Context, in *store.Ingest, list pushList, tag string, ref reference.Named) error {
	group := progress.New(p.out, p.style)
	defer group.Close()
	for _, b := range list.blobs {
		if b.diffID != "" {
			b.item = group.Item(b.diffID.Encoded()[:12])
			b.item.State("Preparing", 0, 0)
		}
	}
	if list.there {
		for _, b := range list.blobs {
			b.done("Layer already exists")
		}
		return nil
	}
	var learn sync.Once
	var learnErr error
	err := parallel.Do(ctx, uploads, len(list.blobs), func(ctx context.Context, i int) error {
		b := list.blobs[i]
		have, err := p.repo.HasBlob(ctx, b.desc)
		if err != nil {
			return err
		}
		if have {
			b.done("Layer already exists")
			return nil
		}
		if learn.Do(func() { learnErr = p.learn(ctx) }); learnErr != nil {
			return learnErr
		}
		return p.sendBlob(ctx, in, b, ref)
	})
	if err != nil {
		return err
	}
	for i, m := range list.manifests {
		to := string(m.desc.Digest)
		if i == len(list.manifests)-1 {
			to = tag
		}
		if err := p.repo.Put(ctx, to, m.desc, m.raw); err != nil {
			return err
		}
	}
	return nil
}

// sendBlob mounts a blob from where the registry has it, or uploads it.
func (p *pusher) sendBlob(ctx context.Context, in *store.Ingest, b *pushedBlob, ref reference.Named) error {
	from := p.elsewhere(b, ref)
	mounted, upload, err := p.repo.Mount(ctx, b.desc, from)
	if err != nil {
		return err
	}
	if mounted {
		b.done("Mounted from " + from)
		return nil
	}
	content, err := in.Open(ctx, b.desc)
	if err != nil {
		return err
	}
	err = upload.Send(ctx, content, func(n int64) {
		if b.item != nil {
			b.item.State("Pushing", n, b.desc.Size)
		}
	})
	if err == nil {
		b.done("Pushed")
	}
	return err
}

func (b *pushedBlob) done(word string) {
	if b.item != nil {
		b.item.Done(word)
	}
}

// elsewhere is another repository of the same registry that has been seen to have
// the blob; "" when there is none.
func (p *pusher) elsewhere(b *pushedBlob, ref reference.Named) string {
	var found []string
	for _, k := range p.known {
		_, digested := k.Name.(reference.Digested)
		if digested && k.Blob.Digest == b.desc.Digest && reference.Domain(k.Name) == reference.Domain(ref) && k.Name.Name() != ref.Name() {
			found = append(found, reference.Path(k.Name))
		}
	}
	if len(found) == 0 {
		return ""
	}
	sort.Strings(found)
	return found[0]
}
