// Package piped makes a reader of what a function writes.
package piped

import "io"

// From is what write writes, as a reader that ends with its error. Its Close
// waits for write to end.
func From(write func(w io.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(write(w))
	}()
	return &madeStream{r, done}
}

type madeStream struct {
	*io.PipeReader
	done <-chan struct{}
}

func (s *madeStream) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}
