package tldwdb

import (
	"time"

	"github.com/tldw/tldwdb/internal/portable"
)

// The phases of a [BackupProgress].
const (
	phaseLock   = "lock"
	phaseDump   = "dump"
	phaseCheck  = "check"
	phaseLoad   = "load"
	phaseVerify = "verify"
	phaseSwitch = "switch"
)

// meterEvery is how often somebody is told at most.
const meterEvery = 200 * time.Millisecond

// meter tells how far a backup is. A nil meter tells nobody.
type meter struct {
	tell  func(BackupProgress)
	now   BackupProgress
	begun time.Time
	last  time.Time
}

func newMeter(tell func(BackupProgress)) *meter {
	if tell == nil {
		return nil
	}
	return &meter{tell: tell}
}

// enter begins a phase.
func (m *meter) enter(phase string) {
	if m == nil {
		return
	}
	m.begun, m.last = time.Now(), time.Time{} // the first bytes are told at once
	m.now = BackupProgress{Phase: phase}
	m.tell(m.now)
}

// bytes says how much of the content is done; all is 0 where that is not known.
func (m *meter) bytes(done, all int64) { m.table(m.at(), done, all) }

// at is the table that was told last.
func (m *meter) at() string {
	if m == nil {
		return ""
	}
	return m.now.Table
}

// table says the same, and which table is at work.
func (m *meter) table(table string, done, all int64) {
	if m == nil {
		return
	}
	tables := m.now.Tables
	if table != m.now.Table && m.now.Table != "" {
		tables++
	}
	m.report(table, tables, done, all)
}

// rows hands on what package portable says, whose phases are ours.
func (m *meter) rows(p portable.Progress) {
	if m == nil {
		return
	}
	if p.Phase != m.now.Phase {
		m.enter(p.Phase)
	}
	m.now.TablesAll = p.TablesAll
	all := p.BytesAll
	if all > 0 { // it was about so much
		all = max(all, p.Bytes)
	}
	m.report(p.Table, p.Tables, p.Bytes, all)
}

// report tells it, with the time that is left if it goes on so.
func (m *meter) report(table string, tables int, done, all int64) {
	now := time.Now()
	if now.Sub(m.last) < meterEvery && (done < all || all == 0) && table == m.now.Table && tables == m.now.Tables {
		return
	}
	m.last = now
	m.now.Table, m.now.Tables, m.now.Bytes, m.now.BytesAll, m.now.Elapsed = table, tables, done, all, now.Sub(m.begun)
	if m.now.Left = 0; done > 0 && all > done {
		m.now.Left = time.Duration(float64(m.now.Elapsed) / float64(done) * float64(all-done))
	}
	m.tell(m.now)
}
