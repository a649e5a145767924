package tldwdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/retention"
)

// RetentionPolicy says which backups are kept: those that one of the rules keeps.
// Periods are those of the calendar in UTC, and of each the newest backup is kept;
// only periods that have a backup count, and while there are fewer than a rule asks
// for, the oldest is kept too. The zero value has no rule, and keeps all.
type RetentionPolicy struct {
	Last    int           // so many of the newest
	Hourly  int           // of so many hours
	Daily   int           // of so many days
	Weekly  int           // of so many weeks, which begin on Monday
	Monthly int           // of so many months
	Yearly  int           // of so many years
	Within  time.Duration // what is no older than that, counted from the newest
}

// PruneOptions say how [PruneBackups] goes about it.
type PruneOptions struct {
	// Database, if it is not empty, is the only database whose backups are looked at.
	// A policy that is one service's own belongs with its name where several keep
	// backups in one store.
	Database string
	// Identity, if it is not empty, leaves alone the backups that have another one: of
	// databases that are called the same. See [Backup].
	Identity string
	// DryRun deletes nothing and says what would be deleted.
	DryRun bool
}

// Pruned is what [PruneBackups] did, or would do.
type Pruned struct {
	Kept      []KeptBackup `json:"kept"`      // the newest first
	Removed   []string     `json:"removed"`   // names of backups
	Leftovers []string     `json:"leftovers"` // objects of no backup that were removed
	Freed     int64        `json:"freed"`     // stored bytes of both
}

// KeptBackup is a backup that [PruneBackups] left.
type KeptBackup struct {
	Name    string   `json:"name"`
	Reasons []string `json:"reasons"` // rules, or what protects it from them
}

// leftoverAge is how old something must be that belongs to no backup before it is
// taken for a leftover: a backup that is being made looks the same.
const leftoverAge = 24 * time.Hour

// PruneBackups deletes the backups that the policy does not keep, and what killed
// processes have left in the store a day ago or longer. It applies the policy to the
// backups of each database (by name and identity) and method by themselves, so that one database's do not
// crowd out another's, nor the portable ones those in the engine's own form.
//
// Whatever the policy says it keeps, of each database and method:
//   - the newest backup that no verification has found bad;
//   - the newest one that was verified and found good, and all that are newer than
//     it: nobody knows of those yet whether they can be restored, and one whose next
//     verification fails is no reason to be left with nothing of its days;
//   - backups with an Err in [ListBackups]: what is wrong is for a person to see.
//
// One that was found bad does not count as the backup of its day. Where no verification
// has ever succeeded, backups from before a migration are kept too: nothing shows yet
// that what came behind it is good.
//
// The manifest is deleted first, so that a backup whose deletion was cut short is none,
// and its parts are leftovers. What is returned is right beside an error too; names in
// Removed are of backups that are gone completely. While the store does not give out
// what it lists, nothing is deleted.
func PruneBackups(ctx context.Context, store BackupStore, policy RetentionPolicy, o PruneOptions) (Pruned, error) {
	return pruneAt(ctx, store, policy, o, time.Now())
}

func pruneAt(ctx context.Context, store BackupStore, policy RetentionPolicy, o PruneOptions, now time.Time) (Pruned, error) {
	rules := retention.Policy(policy)
	if err := rules.Check(); err != nil {
		return Pruned{}, err
	}
	found, err := lookAt(ctx, store)
	if err != nil {
		return Pruned{}, err
	}
	for _, b := range found.backups {
		if b.unknown() { // it may be the good one, for which others would be kept
			return Pruned{}, withHint(fmt.Errorf("nothing is deleted while a backup cannot be read: %w", b.Err), "try again, or delete %s by hand", b.Name)
		}
	}
	p := pruning{store: store, dryRun: o.DryRun}
	reasons := reasonsToKeep(found.backups, rules, now)
	for _, b := range found.backups {
		switch why := reasons[b.Name]; {
		case o.Database != "" && b.Database != o.Database, o.Identity != "" && b.Identity != "" && b.Identity != o.Identity:
		case len(why) > 0:
			p.done.Kept = append(p.done.Kept, KeptBackup{Name: b.Name, Reasons: why})
		case p.remove(ctx, found.objects[b.Name]):
			p.done.Removed = append(p.done.Removed, b.Name)
		}
	}
	p.leftovers(ctx, found, now.Add(-leftoverAge))
	return p.done, errors.Join(p.errs...)
}

// reasonsToKeep says of each backup why it is kept. Those without a reason may go.
func reasonsToKeep(backups []Backup, rules retention.Policy, now time.Time) map[string][]string {
	type group struct {
		engine, database string
		method           BackupMethod
		identity         string
	}
	// Where there is one database of a name, those from before there were identities are
	// of the same.
	only := map[group]string{}
	for _, b := range backups {
		if g := (group{engine: b.Engine, database: b.Database}); b.Identity != "" {
			if known, there := only[g]; there && known != b.Identity {
				only[g] = ""
			} else {
				only[g] = b.Identity
			}
		}
	}
	reasons := map[string][]string{}
	groups := map[group][]Backup{} // the newest first, as the backups are
	for _, b := range backups {
		if b.Err != nil {
			reasons[b.Name] = []string{"damaged"}
			continue
		}
		g := group{b.Engine, b.Database, b.Method, cmp.Or(b.Identity, only[group{engine: b.Engine, database: b.Database}])}
		groups[g] = append(groups[g], b)
	}
	for _, group := range groups {
		proved := slices.IndexFunc(group, func(b Backup) bool { return b.Verified != nil && b.Verified.OK })
		for i, b := range group {
			switch {
			case i < proved:
				reasons[b.Name] = append(reasons[b.Name], "newer than the newest verified")
			case i == proved:
				reasons[b.Name] = append(reasons[b.Name], "newest verified")
			case proved < 0 && b.Reason == ReasonMigration:
				reasons[b.Name] = append(reasons[b.Name], "before a migration, and nothing is verified")
			}
		}
		// One that was found bad stands for no period: the good one beside it does.
		group = slices.DeleteFunc(group, func(b Backup) bool { return b.Verified != nil && !b.Verified.OK })
		times := make([]time.Time, len(group))
		for i, b := range group {
			times[i] = b.Started
		}
		for i, why := range retention.Apply(times, now, rules) {
			if i == 0 {
				why = append(why, "newest")
			}
			reasons[group[i].Name] = append(why, reasons[group[i].Name]...)
		}
	}
	return reasons
}

// pruning is a run of PruneBackups.
type pruning struct {
	store  BackupStore
	dryRun bool
	done   Pruned
	errs   []error
}

// remove deletes the objects of one backup, and reports whether all are gone.
func (p *pruning) remove(ctx context.Context, objects []BackupObject) bool {
	objects = slices.Clone(objects)
	if i := slices.IndexFunc(objects, func(o BackupObject) bool { _, rest, _ := archive.BackupOf(o.Name); return "."+rest == manifestSuffix }); i > 0 {
		objects[0], objects[i] = objects[i], objects[0]
	}
	for _, o := range objects {
		if !p.dryRun {
			if err := p.store.Delete(ctx, o.Name); err != nil {
				p.errs = append(p.errs, fmt.Errorf("deleting %s: %w", o.Name, err))
				return false // above all not the parts of a backup whose manifest is there
			}
		}
		p.done.Freed += o.Size
	}
	return true
}

// leftovers removes what belongs to no backup and is old.
func (p *pruning) leftovers(ctx context.Context, found inventory, before time.Time) {
	newest := map[string]time.Time{} // of the objects of one name: parts that are being written have a new one now and then
	for _, o := range found.loose {
		name, _, _ := archive.BackupOf(o.Name)
		if o.Modified.After(newest[name]) {
			newest[name] = o.Modified
		}
	}
	for _, o := range found.loose {
		name, _, _ := archive.BackupOf(o.Name)
		if newest[name].Before(before) && p.remove(ctx, []BackupObject{o}) {
			p.done.Leftovers = append(p.done.Leftovers, o.Name)
		}
	}
	if c, ok := p.store.(BackupCleaner); ok {
		removed, err := c.Clean(ctx, before, p.dryRun)
		p.done.Leftovers = append(p.done.Leftovers, removed...)
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("cleaning %s: %w", p.store, err))
		}
	}
}
