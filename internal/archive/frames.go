package archive

import (
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// frameSize is how much content is in one frame of zstd. What repeats farther apart
	// is not found; smaller frames would be seen in the size, larger ones in memory.
	frameSize = 512 << 10
	// framers is how many frames are compressed at a time. A backup leaves the other
	// cores to the service.
	framers = 2
)

// frameWriter compresses each piece of the content by itself, several at a time. The
// frames stand one behind the other, which whatever reads zstd takes for one content.
// Within one frame a second core would have nothing to do.
type frameWriter struct {
	w     io.Writer
	z     *zstd.Encoder
	next  *frame   // is being filled
	busy  []*frame // are being compressed, the oldest first
	begun bool     // there is a frame
	err   error
}

// frame is the memory for one.
type frame struct {
	plain, packed []byte
	done          chan struct{} // has one when packed is complete
}

func newFrameWriter(w io.Writer) (*frameWriter, error) {
	// What is written every day and read hardly ever is compressed at the fastest
	// level: half the time of the usual one, for some hundredths more to store.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true), zstd.WithWindowSize(frameSize),
		zstd.WithEncoderConcurrency(framers), zstd.WithZeroFrames(true))
	return &frameWriter{w: w, z: z, next: newFrame()}, err
}

func newFrame() *frame {
	const more = 1 << 10 // what does not compress is a little longer then
	return &frame{plain: make([]byte, 0, frameSize), packed: make([]byte, 0, frameSize+more), done: make(chan struct{}, 1)}
}

// Write adds content. Behind an error every call returns that error.
func (f *frameWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 && f.err == nil {
		part := min(len(p), frameSize-len(f.next.plain))
		f.next.plain = append(f.next.plain, p[:part]...)
		p = p[part:]
		n += part
		if len(f.next.plain) == frameSize {
			f.pack()
		}
	}
	return n, f.err
}

// pack has the next frame compressed, and begins another in the memory of the oldest
// one where no more are allowed.
func (f *frameWriter) pack() {
	packing := f.next
	f.begun = true
	f.busy = append(f.busy, packing)
	go func() {
		packing.packed = f.z.EncodeAll(packing.plain, packing.packed[:0])
		packing.done <- struct{}{}
	}()
	if len(f.busy) <= framers {
		f.next = newFrame()
		return
	}
	f.next = f.put()
}

// put writes the oldest of the frames that are being compressed.
func (f *frameWriter) put() *frame {
	oldest := f.busy[0]
	f.busy = f.busy[1:]
	<-oldest.done
	if f.err == nil {
		_, f.err = f.w.Write(oldest.packed)
	}
	oldest.plain = oldest.plain[:0]
	return oldest
}

// Close writes what is held back. Without content there is one frame without content.
func (f *frameWriter) Close() error {
	if f.err == nil && (len(f.next.plain) > 0 || !f.begun) {
		f.pack()
	}
	for len(f.busy) > 0 { // behind an error too: they have goroutines
		f.put()
	}
	if err := f.z.Close(); f.err == nil {
		f.err = err
	}
	return f.err
}
