package dialect

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// againConnector tries again while the server cannot be reached, so that a restart
// of it delays requests and does not fail them: database/sql gives up at the first
// attempt. The patience is one for the outage and not one for each request, and
// begins with the first failure: when it is over everybody gets the error at once,
// until an attempt succeeds, and requests do not pile up before a server that stays
// away. There is none before the first success: whoever starts has a wait of its
// own.
type againConnector struct {
	driver.Connector
	wait   time.Duration
	logger *slog.Logger

	mu        sync.Mutex
	connected bool
	since     time.Time // of the outage; zero: the last attempt succeeded
}

type onceKey struct{}

// Once marks a context for connections that are not to wait for a server that is
// away, or refuses the log-in, because whoever asks wants to know just that.
func Once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// The pauses between attempts to reach a server that was there.
const (
	firstAgainPause   = 20 * time.Millisecond
	longestAgainPause = 500 * time.Millisecond
)

// Connect opens a connection.
func (c *againConnector) Connect(ctx context.Context) (driver.Conn, error) {
	for pause := firstAgainPause; ; pause = min(2*pause, longestAgainPause) {
		conn, err := c.Connector.Connect(ctx)
		left := c.note(ctx, err)
		if err == nil || left <= 0 || !Unreachable(err) || ctx.Value(onceKey{}) != nil {
			return conn, err
		}
		timer := time.NewTimer(min(time.Duration(float64(pause)*(0.5+rand.Float64())), left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w while the server was away: %w", context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}

// note keeps the time of the outage, and returns how much patience is left.
func (c *againConnector) note(ctx context.Context, err error) (left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil:
		if !c.since.IsZero() {
			c.logger.InfoContext(ctx, "the database server is back", "away", now.Sub(c.since).Round(time.Millisecond))
		}
		c.connected, c.since = true, time.Time{}
		return 0
	case !c.connected || !Unreachable(err) || ctx.Err() != nil:
		return 0
	case c.since.IsZero():
		c.since = now
		c.logger.WarnContext(ctx, "the database server has gone: new connections wait for it", "error", err, "limit", c.wait)
	}
	return c.wait - now.Sub(c.since)
}
