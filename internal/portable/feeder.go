package portable

import (
	"bytes"
	"errors"
)

// feeder turns rows of one table into rows of another.
type feeder struct {
	m    *mapping
	to   sink
	sum  *digest
	by   *canon
	out  []value
	bufs [][]byte
	fine [][]byte // times that were rounded
	rows int64
	keys keyring
	// from are rows that the target has: they are compared, and not written. moved says
	// that they are others.
	from  *part
	moved bool
	// full is called when so many bytes were written, between two rows.
	full          func() error
	written, most int64
	before        int64 // rows that were written into other sinks
	// proved says that who reads the rows takes the same digest of them.
	proved bool
}

func newFeeder(m *mapping, to sink) *feeder {
	f := &feeder{m: m, to: to, sum: newDigest(), by: &canon{}, out: make([]value, len(m.insert)), bufs: make([][]byte, len(m.columns))}
	for _, p := range m.columns {
		f.by.from, f.by.as = append(f.by.from, p.from.Kind), append(f.by.as, p.compare)
	}
	if m.round {
		m.rounded, f.fine = make([]int64, len(m.columns)), make([][]byte, len(m.columns))
	}
	return f
}

// round rounds the times of a row to what the target's columns keep: what is written is
// what is compared.
func (f *feeder) round(row []value) {
	for i, p := range f.m.columns {
		v, l := &row[p.source], p.to.limits.timeDigits
		if l == 0 || !p.to.Kind.isTime() || v.null || v.raw {
			continue
		}
		kind := v.kind(p.from.Kind)
		if kind != KindInt && bytes.IndexByte(v.data, '.') < 0 {
			continue
		}
		at, ok := momentOf(kind, v.data)
		if !ok || len(at.fraction) < l {
			continue
		}
		if at, ok = at.round(l - 1); !ok {
			continue // it is refused
		}
		if f.fine[i], ok = at.append(f.fine[i][:0], p.to.Kind); !ok {
			continue
		}
		*v = value{data: f.fine[i]}
		if p.from.Kind == KindAny {
			v.tag = tagText
		}
		f.m.rounded[i]++
	}
}

func (f *feeder) feed(line []byte, row []value) error {
	m := f.m
	f.rows++
	if m.round {
		f.round(row)
	}
	if !f.proved {
		for i, p := range m.columns {
			f.by.value(f.sum, i, row[p.source])
		}
		f.sum.end()
	}
	if f.from != nil && f.rows <= f.from.Rows {
		f.moved = f.rows == f.from.Rows && f.sum.String() != f.from.Digest
		return nil
	}
	if f.moved { // an error would end the source's connection, and its snapshot
		return nil
	}
	for k, i := range m.insert {
		v := row[m.columns[i].source]
		if !m.same {
			var err error
			if v, err = f.convert(i, v); err != nil {
				return m.refused(m.columns[i].from.Name, row, f.rows, err)
			}
		}
		f.out[k] = v
	}
	if !m.same {
		line = nil
	}
	f.keys.add(m, row)
	if err := f.to.write(line, f.out); err != nil {
		return m.refused("", row, f.rows, err)
	}
	if f.full == nil {
		return nil
	}
	for _, v := range f.out {
		f.written += int64(len(v.data)) + 1
	}
	if f.written < f.most {
		return nil
	}
	f.written = 0
	return f.full()
}

// close ends the sink, and abort does where close was not called.
func (f *feeder) close() error {
	to := f.to
	f.to = nil
	return to.close()
}

func (f *feeder) abort() {
	if f.to != nil {
		f.to.abort()
		f.to = nil
	}
}

// refused names the row of a value that cannot be held.
func (m *mapping) refused(column string, row []value, n int64, err error) error {
	why, ok := errors.AsType[refusal](err)
	if !ok {
		return err
	}
	_, fine := errors.AsType[fineTime](err)
	return &ValueError{Table: m.from.Name, Column: column, Key: m.rowName(row, n), Reason: string(why), Fine: fine}
}

// convert makes a value one of the target's column.
func (f *feeder) convert(i int, v value) (value, error) {
	p := &f.m.columns[i]
	if v.null {
		return v, p.to.check(v)
	}
	from, to := v.kind(p.from.Kind), p.to.Kind
	if v.raw && to != KindBytes && to != KindAny {
		v = value{tag: v.tag, data: v.text(nil)}
	}
	if f.m.native && p.from.Kind == to {
		return v, nil
	}
	if to == KindAny {
		tag := byte(tagText)
		switch from {
		case KindBool:
			v.data = []byte{"01"[b2i(v.data[0] == 't')]}
			tag = tagInt
		case KindInt:
			tag = tagInt
		case KindFloat32, KindFloat64:
			tag = tagFloat
		case KindBytes:
			tag = tagBytes
		}
		return value{tag: tag, raw: v.raw, data: v.data}, nil
	}
	if from == KindAny {
		from = KindText
	}
	if f.m.loose && v.tag == 0 && (from.isTime() || from == KindJSON || from == KindUUID) {
		from = KindText
	}
	if from == to {
		v.tag = 0
		return v, p.to.check(v)
	}
	var err error
	if f.bufs[i], err = convert(f.bufs[i][:0], from, to, v.data); err != nil {
		return v, err
	}
	v = value{data: f.bufs[i]}
	return v, p.to.check(v)
}
