/*
 * The boot protocol of tldwdb: look, lock, look again, apply, crash, wake up.
 * README.md says what is modelled, what is not, and which function of the code
 * each step is. `make model` runs every check.
 *
 * Three workers boot at once. Two faults happen at any instant: a worker dies,
 * or its lease lapses while it lives, as after a pause. At least one worker is
 * left, and it has to end well.
 *
 *   never twice  the assertion in take_effect
 *   never lost   the assertion in commit_tx: "applied" means all effects
 *   never stuck  every run ends (no invalid end state, no cycle), and whoever
 *                ends well finds all applied: the assertions in Worker and init
 *
 * What is checked is chosen by macros:
 *
 *   LEASE        the lock is the lease row; SESSION: it is the session's own
 *   TX           a migration is one transaction; JOURNAL: it runs statement by
 *                statement
 *   ALONE        journal whose entries commit before the statement is sent, for
 *                statements that no transaction takes
 *   POOLED       (lease) the session of an old holder cannot be named or killed
 *   CLUSTER      (lease) its session is on another node: row locks are not
 *                seen, and a write may be let through by a node that lags
 *   MUTATE_x     the protocol with one part taken out; each must be caught
 */

#define N 3 /* workers */
#define M 2 /* migrations */
#define S 2 /* statements in each */

/* Migration 0 is new: its row is inserted, and the primary key excludes a
 * second one. Migration 1 is repeatable with a changed text: its row is there,
 * is restarted by an UPDATE, and no key protects it.
 * Statements: DDL, rows in migration 0; rows, DDL in migration 1. */
#define IS_DDL(m, k) ((m) == (k))
#define EFFECT(m, k) effect[(m) * S + (k)]

#if (defined(LEASE) + defined(SESSION) != 1) || (defined(TX) + defined(JOURNAL) != 1)
#error one lock and one way to apply
#endif

mtype = { absent, changed, running, applied }; /* state of a history row */
mtype = { idle, committing, ddl, ddl_runs };   /* what a session executes */
mtype = { busy, well, failed };                /* how a worker ended */

typedef Row {
	mtype state = absent;
	byte done;   /* statements that are known to be done */
	bit next;    /* intent: statement `done` is about to run */
	byte print;  /* fingerprint of its objects before it */
	byte actor   /* whose row it is */
};

/* An open transaction: what it will have written to the row of migration m. */
typedef Tx { bit open; byte m; mtype state; byte done; bit next; byte print; byte rows };

/* The server: what is committed. */
Row row[M];
byte effect[M * S];

/* The lock: of a session, or the lease. */
byte lock;         /* session lock: worker + 1, or 0 */
byte token, owner; /* fence, beat */
bit released = 1, expired;
byte settled;      /* CLUSTER: every node knows of this token */

/* The sessions, one for each worker. */
Tx tx[N];
mtype cmd[N] = idle;
byte target[N];    /* the statement that cmd is about */
bit killed[N], gone[N];

/* The workers. */
bit holds[N];      /* has had the lock */
byte mine[N];      /* token of a lease that was taken; 0 for none */
bit dead[N];       /* takes no step any more, ... */
bit told[N];       /* ... and the server has noticed that */
mtype result[N] = busy;

byte faults = N - 1; /* still to come */

/* The workers are alike, so that it is enough to look at the runs in which the
 * first ones that get the lock get it in the order of their numbers. */
#define BEHIND(v) (holds[v] || result[v] != busy || dead[v])
#define TURN(w) ((w < 1 || BEHIND(0)) && (w < 2 || BEHIND(1)))

#define CURRENT (row[0].state == applied && row[1].state == applied)
#define SOME_OTHER(w, p) ((w != 0 && p(0)) || (w != 1 && p(1)) || (w != 2 && p(2)))
#define OPEN(v) (tx[v].open)
#define UNSETTLED(v) (tx[v].open || cmd[v] != idle)
#define HAS_ROW(v) (tx[v].open && tx[v].m == m)

/* Every write holds a shared lock on the fence until its transaction ends, so
 * that whoever raises the token waits for it. Between nodes it is not seen. */
#if defined(CLUSTER) || defined(MUTATE_NO_FENCE)
#define FENCE_IS_FREE(w) true
#else
#define FENCE_IS_FREE(w) (!SOME_OTHER(w, OPEN))
#endif

/* The condition of every write. A node that lags behind may let a stale one
 * through, but not for ever. */
#if !defined(LEASE) || defined(MUTATE_NO_FENCE)
#define LOST(w) false
#elif defined(CLUSTER)
#define LOST(w) (mine[w] < settled)
#else
#define LOST(w) (mine[w] != token)
#endif

inline take_effect(i) {
	effect[i]++;
	printf("    statement %d of migration %d has taken effect\n", (i) % S + 1, (i) / S + 1);
	assert(effect[i] <= 1) /* never twice */
}

inline rollback_tx(w) {
	tx[w].open = 0; tx[w].m = 0; tx[w].state = absent; tx[w].done = 0;
	tx[w].next = 0; tx[w].print = 0; tx[w].rows = 0
}

inline commit_tx(w) {
	if
	:: tx[w].open ->
		row[tx[w].m].state = tx[w].state;
		row[tx[w].m].done = tx[w].done;
		row[tx[w].m].next = tx[w].next;
		row[tx[w].m].print = tx[w].print;
		row[tx[w].m].actor = w;
		printf("    the row of migration %d is %e now, %d done, intent %d\n", tx[w].m + 1, tx[w].state, tx[w].done, tx[w].next);
		if :: tx[w].rows & 1 -> take_effect(tx[w].m * S) :: else fi;
		if :: tx[w].rows & 2 -> take_effect(tx[w].m * S + 1) :: else fi;
		assert(tx[w].state != applied || (EFFECT(tx[w].m, 0) == 1 && EFFECT(tx[w].m, 1) == 1)); /* never lost */
		rollback_tx(w)
	:: else
	fi
}

inline raise_token(w) {
	token++; mine[w] = token; owner = w; holds[w] = 1; released = 0; expired = 0;
	printf("worker %d takes the lease, token %d\n", w, token)
}

/*
 * What happens to worker w and its session from outside: the server executes
 * what was sent, also after the sender's death; faults; the clock.
 */
proctype World(byte w) {
end:	do
	:: d_step { cmd[w] == committing -> printf("session %d commits\n", w); commit_tx(w); cmd[w] = idle }
	/* DDL commits what is open before it begins. That is the entry. */
	:: d_step { cmd[w] == ddl -> printf("session %d commits before its DDL\n", w); commit_tx(w); cmd[w] = ddl_runs }
	:: d_step { cmd[w] == ddl_runs -> printf("session %d ends its DDL\n", w); take_effect(target[w]); target[w] = 0; cmd[w] = idle }

	/* The process is killed, or its context is cancelled. */
	:: d_step { faults > 0 && result[w] == busy && !dead[w] ->
			faults--; dead[w] = 1; told[w] = 1; printf("worker %d is killed\n", w);
#ifdef MUTATE_NO_WAIT
			if :: lock == w + 1 -> lock = 0 :: else fi; /* although its statement still runs */
#endif
#ifdef MUTATE_RELEASE_RUNNING
			if :: mine[w] == token && mine[w] > 0 -> released = 1 :: else fi;
#endif
		}
#ifdef LEASE
	/* Its machine is gone without a word, or it is paused for ever. */
	:: d_step { faults > 0 && result[w] == busy && !dead[w] -> faults--; dead[w] = 1; printf("worker %d is silent for ever\n", w) }
#endif

	/* The server ends the session of a client that left: at once, but for DDL
	 * that runs. A killed one ends inside it. */
	:: d_step { !gone[w] && (killed[w] || (dead[w] && told[w] && cmd[w] != ddl_runs)) ->
			printf("session %d has ended\n", w);
			rollback_tx(w); cmd[w] = idle; target[w] = 0; gone[w] = 1;
			if :: lock == w + 1 -> lock = 0 :: else fi }

#ifdef LEASE
	/* A beat comes too late: the holder is dead, or it is paused, or cut off. */
	:: d_step { !released && !expired && owner == w && dead[w] -> expired = 1; printf("the lease of worker %d lapses\n", w) }
	:: d_step { !released && !expired && owner == w && !dead[w] && faults > 0 -> faults--; expired = 1; printf("the lease of worker %d lapses, and it lives\n", w) }
	/* It comes after all, before anybody has noticed. */
	:: d_step { !released && expired && owner == w && !dead[w] -> expired = 0; printf("worker %d renews its lease\n", w) }
	/* It says that the lease is another's: the run is cancelled. */
	:: d_step { mine[w] > 0 && mine[w] != token && result[w] == busy && !dead[w] -> dead[w] = 1; told[w] = 1; printf("worker %d learns that it has lost the lease\n", w) }
#endif
#if defined(POOLED) && !defined(MUTATE_NO_IDLE_TIMEOUT)
	/* The server does not let a transaction stand idle for longer than a lease. */
	:: d_step { tx[w].open && cmd[w] == idle && expired && owner == w -> rollback_tx(w); gone[w] = 1; printf("the server aborts the transaction of session %d\n", w) }
#endif
#ifdef CLUSTER
	/* Applying the new token on the old holder's node aborts its transaction. */
	:: d_step { tx[w].open && cmd[w] == idle && mine[w] < token -> rollback_tx(w); gone[w] = 1; printf("the server aborts the transaction of session %d\n", w) }
#endif
	od
}

inline look() {
	d_step {
		i = 0;
		do
		:: i < M ->
			seen[i].state = row[i].state; seen[i].done = row[i].done; seen[i].next = row[i].next;
			seen[i].print = row[i].print; seen[i].actor = row[i].actor; i++
		:: else -> break
		od;
		i = 0
	}
}

inline forget(x) {
	seen[x].state = absent; seen[x].done = 0; seen[x].next = 0; seen[x].print = 0; seen[x].actor = 0
}

/* Whoever ends well finds everything applied. */
inline ends_well() {
	assert(CURRENT && effect[0] == 1 && effect[1] == 1 && effect[2] == 1 && effect[3] == 1);
	result[w] = well;
	printf("worker %d ends well\n", w)
}

/* Waits for the lock. A waiter looks again between two tries. */
inline acquire() {
	if
	:: CURRENT -> goto ready
#ifndef LEASE
	:: atomic { lock == 0 && TURN(w) -> lock = w + 1; holds[w] = 1; printf("worker %d has the lock\n", w) }
#else
	:: atomic { released && TURN(w) && FENCE_IS_FREE(w) -> raise_token(w) }
#if defined(POOLED)
	:: atomic { !released && TURN(w) && expired && FENCE_IS_FREE(w) -> raise_token(w) }
#elif defined(CLUSTER)
	:: atomic { !released && TURN(w) && expired -> raise_token(w) };
#ifndef MUTATE_NO_GRACE
		/* The old session may stand between its implicit commit and the order
		 * of its DDL, where nothing can be seen of it. */
		atomic { !SOME_OTHER(w, UNSETTLED) && mine[w] == token -> settled = token; printf("worker %d has waited for what was under way\n", w) }
#endif
#elif defined(MUTATE_NO_WAIT)
	:: atomic { !released && TURN(w) && expired && FENCE_IS_FREE(w) -> raise_token(w) }
#elif defined(MUTATE_SETTLE_LATE)
	:: atomic { !released && TURN(w) && expired && FENCE_IS_FREE(w) -> i = owner; raise_token(w) };
		killed[i] = 1;
		printf("worker %d kills session %d\n", w, i);
		atomic { gone[i] -> i = 0 }
#else
	/* First the end of the old session, then its lease. The other way round a
	 * taker that dies between the two leaves a lease that names only itself. */
	:: atomic { !released && expired -> i = owner; killed[i] = 1; printf("worker %d kills session %d\n", w, i) };
		gone[i];
		if
		:: atomic { !released && TURN(w) && expired && owner == i && FENCE_IS_FREE(w) -> i = 0; raise_token(w) }
		:: atomic { released || !expired || owner != i -> i = 0; goto wait }
		fi
#endif
#endif
	fi
}

/* Writes the history row of migration m, in the session's open transaction. */
inline write(s, d, n, p) {
	atomic {
		!SOME_OTHER(w, HAS_ROW);
		if
		:: LOST(w) -> goto lost
		:: else
		fi;
		if
		:: begun && !tx[w].open && row[m].actor != w -> goto lost
		:: !begun && seen[m].state == absent && row[m].state != absent -> goto raced
		:: else
		fi;
		printf("worker %d writes the row of migration %d\n", w, m + 1);
		tx[w].open = 1; tx[w].m = m; tx[w].state = s; tx[w].done = d; tx[w].next = n; tx[w].print = p;
		begun = 1
	}
}

/* Sends a command, and waits for the answer. */
inline execute(c) {
	atomic { cmd[w] = c; printf("worker %d sends %e\n", w, c) };
	cmd[w] == idle
}

/* Where an interrupted migration goes on. Then its row is this worker's, if
 * nobody has touched it meanwhile. */
inline resume() {
	if
	:: seen[m].next && EFFECT(m, seen[m].done) != seen[m].print -> k = seen[m].done + 1
	:: else -> k = seen[m].done
	fi;
	printf("worker %d goes on with migration %d at statement %d\n", w, m + 1, k + 1);
	atomic {
		!SOME_OTHER(w, HAS_ROW);
		if
		:: LOST(w) -> goto lost
		:: else
		fi;
		if
		:: row[m].state != seen[m].state || row[m].done != seen[m].done || row[m].next != seen[m].next ||
		   row[m].actor != seen[m].actor -> goto raced
		:: else -> row[m].actor = w; begun = 1; forget(m)
		fi
	}
}

/* Runs DDL number k of migration m. */
inline run_ddl() {
	target[w] = m * S + k;
#ifdef MUTATE_ENTRY_AFTER
	execute(ddl);
	write(running, k + 1, 0, 0);
#else
	write(running, k, 1, EFFECT(m, k));
#ifdef ALONE
	execute(committing);
#endif
	execute(ddl);
#endif
	k++
}

proctype Worker(byte w) {
	Row seen[M]; /* the history as it was read */
	byte m, k, i;
	bit begun;   /* the row is there, and this worker's */

wait:	{
#ifdef MUTATE_NO_LOOK_AGAIN
		look();
#endif
		acquire(); /* which begins with a look */
#ifdef MUTATE_NO_LOOK_AGAIN
		goto apply;
#endif
raced:		atomic { begun = 0; m = 0; k = 0; look(); printf("worker %d looks again\n", w) }
apply:		do
		:: m == M -> break
		:: m < M && seen[m].state == applied -> m++
		:: m < M && seen[m].state != applied ->
#ifdef TX
			write(applied, S, 0, 0);
			tx[w].rows = 3;
			execute(committing);
#else
			if
			:: seen[m].state == running -> resume()
			:: else
			fi;
			do
			:: k == S -> break
			:: k < S && IS_DDL(m, k) -> run_ddl()
			:: k < S && !IS_DDL(m, k) ->
				write(running, k + 1, 0, 0);
				d_step { tx[w].rows = tx[w].rows | (1 << k); k++ }
			od;
			write(applied, S, 0, 0);
			execute(committing);
#endif
			d_step { forget(m); begun = 0; k = 0; m++ }
		od;
		atomic { /* unlock */
			if :: lock == w + 1 -> lock = 0 :: else fi;
			if :: mine[w] > 0 && mine[w] == token -> released = 1 :: else fi;
			ends_well();
			goto over
		};
ready:		atomic { ends_well(); goto over };
lost:		atomic { dead[w] = 1; told[w] = 1 } /* ErrLockLost; the session is closed */
	} unless { atomic { result[w] == busy && (dead[w] || gone[w]) -> dead[w] = 1; told[w] = told[w] | gone[w]; result[w] = failed } };
over:	atomic { m = 0; k = 0; i = 0; begun = 0; forget(0); forget(1) } /* fewer states */
}

init {
	atomic {
		row[1].state = changed;
		run World(0); run World(1); run World(2);
		run Worker(0); run Worker(1); run Worker(2)
	};
	result[0] != busy && result[1] != busy && result[2] != busy;
	assert(result[0] == well || result[1] == well || result[2] == well)
}
