/*
 * The protocol of the queue, for spin: how a job gets from its claim to its settlement while
 * workers die, connections are cut and the application changes rows under them. tests/README.md
 * says how to run it and how to read what it finds.
 *
 * One session, JOBS jobs of one line each, two workers on two hosts, a janitor, the application.
 * Each step of a process is atomic and is a step of Postgres or of a program. A transaction of more
 * than one step keeps what it has written to itself until it commits, holds a job's row or the
 * session's row by a lock, and waits for the locks of others; FOR UPDATE SKIP LOCKED passes them.
 * A step of a statement is named SQL(statement), after its file in src/queue/sql; leftout.txt says
 * which statements are not here, and run.sh compares.
 *
 * A connection that is cut, or whose worker died, leaves its statement behind: the server may carry
 * it out later, commit included, and nobody hears of it. That is at once the lost answer of a
 * commit (it is carried out at once) and the late finish of a statement that everybody has given
 * up.
 *
 * FAULTS things go wrong, and CHANGES are made by the application; then no more. With BRIEFLY there
 * are no claims that open the session's row, and fewer states. Built with
 *   OLD_CLAIM_NUMBERS   a claim's number is the row's last one and one, from 0 for a new row
 *   OLD_CURSORS         settle numbers lines from the session's row as its snapshot shows it
 * the model follows rules that were in force once, and finds what was wrong with them.
 *
 * What begins with ghost_ is known to nobody but the properties.
 */

#ifndef JOBS
#define JOBS 2
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef CHANGES
#define CHANGES 1
#endif
#define WORKERS 2
#define HANDS 4			/* two for each worker */
#define MAX_ATTEMPTS 2

#define SQL(statement)	printf("%d  ", _pid); printf(#statement); printf("\n")
#define SAY(what)	printf("%d  (", _pid); printf(what); printf(")\n")

/* Kinds of session row, of job status, and of what is in a worker's hand. */
#define PENDING 0
#define PROCESSING 1
#define COMPLETED 2
#define FAILED 3

#define EMPTY 0
#define CLAIMED 1
#define RATING 2		/* the worker's processor is in it: its breadcrumb names it */
#define DECIDED 3
#define SENT 4			/* a settlement of it is on its way */

/* Statements that are more than one step. */
#define IDLE 0
#define CLAIM 1
#define CLAIM_BRIEFLY 2
#define COMPLETE 3
#define SETTLE 4
#define HOLD 5

/* Whose connection it is: each worker's, and one that is nobody's any more. */
#define ORPHAN 2
#define CONNECTIONS 3
#define LOCKED_BY(c) (c + 1)
#define NOBODY 0
#define IDENTITIES (1 + WORKERS + FAULTS)

typedef Row {
	byte status;
	byte claim;		/* the number of its latest claim */
	byte by;		/* who claimed it; 0: nobody */
	byte counted;		/* as what the session's counters have it; PENDING: not at all */
	byte attempts;
	byte lock;
	byte ghost_row;		/* which of the rows that had this id it is */
}

typedef Line {
	bool there;
	byte ghost_claim;	/* the claim under which it was stored, and of which row */
	byte ghost_row;
}

typedef Hand {
	byte phase;
	byte job;
	byte claim;
	byte counted;		/* as the claim found it */
	byte attempts;
	byte outcome;		/* the status that it is to get */
	bool held;		/* by a lock, in an open transaction */
	bool any;		/* only settle.sql will do */
	byte ghost_row;
}

typedef Connection {
	byte statement;
	byte step;
	byte hand;		/* what it settles or claims for; of an orphan: nothing */
	bool snapshot;		/* whether its snapshot has the session's row */
	byte seq;
	byte who;		/* the claimant, and what is settled */
	byte job;
	byte claim;
	byte counted;
	byte outcome;
	byte ghost_row;
}

typedef Death {			/* as the supervisor hands it to the janitor */
	byte who;		/* 0: none */
	bool in_hand;		/* the processor was in a job: */
	bool only;		/* it was in none, and just one was being rated: */
	byte job;
	byte claim;
	bool outside;		/* it was killed; else it died of itself */
}

Row row[JOBS];
Line line[JOBS];
Hand hand[HANDS];
Connection con[CONNECTIONS];
Death death[WORKERS];
byte identity[WORKERS];
byte reclaim[WORKERS];		/* how often lost claims are still to be released */
bool write_next[WORKERS];	/* the next claim is not to be held by locks */
byte next_identity = 1;
byte next_claim = 1;		/* the sequence of claim numbers, */
byte next_seq = 1;		/* of cursors */
byte ghost_next_row = 1;

/* The session's row. Whoever inserts it has its lock as well. */
bool session_there;
byte session_lock;
byte completed, failed, rated, rated_seq;

byte faults = FAULTS, changes = CHANGES;
byte ghost_gone_completed, ghost_gone_failed;	/* counted, and deleted since */
bool ghost_lost[IDENTITIES];	/* it went with its host: no janitor knows of it */
byte ghost_culprit[IDENTITIES];	/* the row in which it died, where that is known */
byte ghost_reader;		/* the highest cursor that a reader can have */

/* ---- what must hold ---- */

byte k, ghost_n;

/* In every state that others can see: the session's counters are what the rows say. */
inline check_counters() {
	ghost_n = ghost_gone_completed;
	k = 0;
	do
	:: k < JOBS -> ghost_n = ghost_n + (row[k].counted == COMPLETED); k++
	:: else -> break
	od;
	assert(completed == ghost_n);	/* counters equal rows: completed */
	ghost_n = ghost_gone_failed;
	k = 0;
	do
	:: k < JOBS -> ghost_n = ghost_n + (row[k].counted == FAILED); k++
	:: else -> break
	od;
	assert(failed == ghost_n);	/* counters equal rows: failed */
	ghost_n = 0;
	k = 0;
	do
	:: k < JOBS -> ghost_n = ghost_n + line[k].there; k++
	:: else -> break
	od;
	assert(rated == ghost_n);	/* counters equal rows: rated lines */
	k = 0;
	ghost_n = 0
}

/* The line of job j is stored: under a claim of this very row, once, and behind what was read. */
inline store_line(c) {
	assert(row[j].ghost_row == con[c].ghost_row);	/* no rating of another row */
	assert(!line[j].there || line[j].ghost_row != con[c].ghost_row ||
		line[j].ghost_claim != con[c].claim);	/* no line twice */
	assert(con[c].seq > ghost_reader);		/* cursors in the order of commits */
	ghost_reader = con[c].seq;
	rated = rated + !line[j].there;
	line[j].there = true;
	line[j].ghost_row = con[c].ghost_row;
	line[j].ghost_claim = con[c].claim
}

/* An attempt of job j is charged to a death; where its culprit is known it must be that. */
#define check_charge(id, j) \
	assert(!ghost_culprit[id] || ghost_culprit[id] == row[j].ghost_row)

/* ---- the two rules that changed ---- */

inline number_claim(j) {
#ifdef OLD_CLAIM_NUMBERS
	row[j].claim = row[j].claim + 1
#else
	row[j].claim = next_claim;
	next_claim++
#endif
}

inline number_inserted(j) {
#ifdef OLD_CLAIM_NUMBERS
	row[j].claim = 0
#else
	row[j].claim = next_claim;
	next_claim++
#endif
}

/* Under the lock of the session's row. */
inline draw_cursor(c) {
#ifdef OLD_CURSORS
	con[c].seq = rated_seq + 1
#else
	con[c].seq = next_seq;
	next_seq++
#endif
}

/* ---- Postgres ---- */

inline reset(c) {
	con[c].statement = IDLE;
	con[c].step = 0;
	con[c].hand = 0;
	con[c].snapshot = false;
	con[c].seq = 0;
	con[c].who = 0;
	con[c].job = 0;
	con[c].claim = 0;
	con[c].counted = 0;
	con[c].outcome = 0;
	con[c].ghost_row = 0
}

/* The transaction ends; what it did is undone by whoever calls this, or stays. */
inline unlock(c) {
	k = 0;
	do
	:: k < JOBS ->
		if
		:: row[k].lock == LOCKED_BY(c) -> row[k].lock = NOBODY
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	if
	:: session_lock == LOCKED_BY(c) -> session_lock = NOBODY
	:: else
	fi
}

inline let_go(h) {
	hand[h].phase = EMPTY;
	hand[h].job = 0;
	hand[h].claim = 0;
	hand[h].counted = 0;
	hand[h].attempts = 0;
	hand[h].outcome = 0;
	hand[h].held = false;
	hand[h].any = false;
	hand[h].ghost_row = 0
}

inline rated_well(h) {
	hand[h].phase = DECIDED;
	hand[h].outcome = COMPLETED
}

/* The worker takes what it has claimed in hand, if it is there to hear of it. */
inline deliver(c, j) {
	if
	:: c != ORPHAN ->
		h = con[c].hand;
		hand[h].phase = CLAIMED;
		if
		:: faults == 0 -> rated_well(h)	/* nothing can happen to it meanwhile */
		:: else
		fi;
		hand[h].job = j;
		hand[h].claim = row[j].claim;
		hand[h].counted = row[j].counted;
		hand[h].attempts = row[j].attempts;
		hand[h].any = (row[j].counted != PENDING);
		hand[h].held = (con[c].statement == HOLD);
		hand[h].ghost_row = row[j].ghost_row;
		h = 0
	:: else
	fi
}

/* Its settlement is answered: it is over, for the worker that is still there to hear it. */
inline answered(c) {
	if
	:: c != ORPHAN -> h = con[c].hand; let_go(h); h = 0
	:: else
	fi;
	reset(c)
}

inline commit_settled(c) {
	j = con[c].job;
	row[j].status = con[c].outcome;
	if
	:: con[c].outcome == COMPLETED ->
		completed = completed + 1 - (con[c].counted == COMPLETED);
		failed = failed - (con[c].counted == FAILED);
		row[j].counted = COMPLETED;
		store_line(c);
		rated_seq++;
		session_there = true
	:: con[c].outcome == FAILED ->
		failed = failed + 1 - (con[c].counted == FAILED);
		completed = completed - (con[c].counted == COMPLETED);
		row[j].counted = FAILED;
		row[j].attempts++;
		row[j].by = NOBODY;
		session_there = true
	:: con[c].outcome == PENDING ->
		row[j].attempts++;
		row[j].by = NOBODY
	fi;
	j = 0;
	unlock(c);
	check_counters()
}

#define still_ours(c)	(row[con[c].job].status == PROCESSING && \
			 row[con[c].job].claim == con[c].claim && \
			 row[con[c].job].by == con[c].who)
#define session_free(c)	(session_lock == NOBODY || session_lock == LOCKED_BY(c))
#define free(j)		(row[j].lock == NOBODY)
#define due(j)		(row[j].status == PENDING && free(j))
#define new_due(j)	(due(j) && row[j].counted == PENDING)
#if JOBS == 1
#define IN_SOME_ROW(is)	is(0)
#define IN_EACH_ROW(is)	is(0)
#else
#define IN_SOME_ROW(is)	(is(0) || is(1))
#define IN_EACH_ROW(is)	(is(0) && is(1))
#endif
#define at(c, what, n)	(con[c].statement == what && con[c].step == n)

/* Without the session's row: what brings no line, and once whatever it was. */
#ifdef OLD_CURSORS
#define MAY_GO_ON(c)	(con[c].outcome != PENDING)
#else
#define MAY_GO_ON(c)	(con[c].outcome == FAILED)
#endif

/* Of two rows to which nothing has happened yet it is enough to look at one. */
#if CHANGES == 0
#define ALIKE	(next_claim == NEVER_CLAIMED && due(0) && due(1))
#else
#define ALIKE	false
#endif
#ifdef OLD_CLAIM_NUMBERS
#define NEVER_CLAIMED	1
#else
#define NEVER_CLAIMED	(1 + JOBS)
#endif

/* Locks one of the rows that are due. */
inline lock_due(c, of_new) {
	if
	:: due(0) && (!of_new || row[0].counted == PENDING) -> con[c].job = 0
#if JOBS > 1
	:: due(1) && (!of_new || row[1].counted == PENDING) && !ALIKE -> con[c].job = 1
#endif
	fi;
	row[con[c].job].lock = LOCKED_BY(c)
}

/* The worker sends it again, in the form that takes whatever is there. */
inline to_be_sent_again(c) {
	unlock(c);
	if
	:: c != ORPHAN ->
		h = con[c].hand;
		hand[h].phase = DECIDED;
		hand[h].any = true;
		h = 0
	:: else
	fi;
	reset(c)
}

/* The transaction is undone, and with it a claim that was held. */
inline refused(c) {
	if
	:: con[c].statement == HOLD ->
		unlock(c);
		if
		:: c != ORPHAN ->
			h = con[c].hand;
			let_go(h);
			h = 0;
			write_next[c] = true
		:: else
		fi;
		reset(c)
	:: else -> to_be_sent_again(c)
	fi
}

/* A connection's end at the server. */
proctype server(byte c)
{
	byte j, h;

end:	do
	/* claim.sql opens the session's row; who settles what claim_briefly.sql took does it. */
	:: d_step { at(c, CLAIM, 1) && (session_there || session_lock == NOBODY) ->
		SAY("the claim has the session's row");
		if
		:: !session_there -> session_lock = LOCKED_BY(c)
		:: else
		fi;
		con[c].step = 2 }
	:: d_step { (at(c, CLAIM, 2) || at(c, CLAIM_BRIEFLY, 2)) ->
		SAY("the claim commits");
		session_there = session_there || session_lock == LOCKED_BY(c);
		unlock(c);
		j = con[c].job;
		row[j].status = PROCESSING;
		row[j].by = con[c].who;
		number_claim(j);
		deliver(c, j);
		reset(c);
		j = 0 }

	/* A first settlement takes for granted that no line is there. */
	:: d_step { at(c, COMPLETE, 0) && free(con[c].job) ->
		SQL(complete);
		if
		:: still_ours(c) && row[con[c].job].counted == PENDING ->
			row[con[c].job].lock = LOCKED_BY(c);
			con[c].step = 1
		:: else -> SAY("moved on"); answered(c)
		fi }
	:: d_step { (at(c, COMPLETE, 1) || at(c, HOLD, 2)) && session_lock == NOBODY ->
		if
		:: con[c].statement == HOLD -> SQL(complete_held)
		:: else -> SAY("complete has the session's row")
		fi;
		if
		:: line[con[c].job].there -> SAY("refused: a line is there"); refused(c)
		:: else ->
			session_lock = LOCKED_BY(c);
			draw_cursor(c);
			con[c].step = 3
		fi }
	:: d_step { at(c, COMPLETE, 3) || at(c, HOLD, 3) ->
		SAY("the settlement commits");
		if
		:: con[c].statement == HOLD ->
			j = con[c].job;
#ifdef OLD_CLAIM_NUMBERS
			number_claim(j);
			con[c].claim = row[j].claim;
#endif
			row[j].by = con[c].who
		:: else
		fi;
		commit_settled(c);
		answered(c) }

	:: d_step { at(c, SETTLE, 1) ->
		SAY("settle begins");
		con[c].snapshot = session_there;
		con[c].step = 2 }
	:: d_step { at(c, SETTLE, 2) && free(con[c].job) ->
		SQL(settle);
		if
		:: still_ours(c) ->
			row[con[c].job].lock = LOCKED_BY(c);
			con[c].step = 3
		:: else -> SAY("moved on"); answered(c)
		fi }
	/* No line and nothing to count: the session's row is left alone. */
	:: d_step { at(c, SETTLE, 3) && con[c].outcome == PENDING ->
		SAY("the settlement commits: put back");
		commit_settled(c);
		answered(c) }
#ifndef OLD_CURSORS
	/* Whoever makes it too is waited for. Nothing is settled; the same again finds the row. */
	:: d_step { at(c, SETTLE, 3) && con[c].outcome == COMPLETED && !con[c].snapshot &&
		    session_lock == NOBODY ->
		SAY("settle makes the session's row, and commits that alone");
		session_there = true;
		to_be_sent_again(c) }
#endif
	/* FOR UPDATE locks, and waits for, what the snapshot shows. */
	:: d_step { at(c, SETTLE, 3) && con[c].outcome != PENDING && con[c].snapshot &&
		    session_lock == NOBODY ->
		SAY("settle has the session's row");
		session_lock = LOCKED_BY(c);
		if
		:: con[c].outcome == COMPLETED -> draw_cursor(c)
		:: else
		fi;
		con[c].step = 4 }
	:: d_step { at(c, SETTLE, 3) && !con[c].snapshot && MAY_GO_ON(c) ->
		SAY("settle sees no row of the session");
		con[c].seq = 1;
		con[c].step = 4 }
	:: d_step { at(c, SETTLE, 4) && (session_lock == NOBODY || session_lock == LOCKED_BY(c)) ->
		SAY("the settlement commits");
		commit_settled(c);
		answered(c) }

	/* Nobody is there any more: it may be undone until it is committed. */
	:: d_step { c == ORPHAN && con[c].statement != IDLE ->
		SAY("a statement that was given up is undone"); unlock(c); reset(c) }
	od
}

/* ---- a worker ---- */


#define H(w, i)		(w * 2 + i)
#define quiet(w)	(con[w].statement == IDLE)
#define empty_handed(w)	(hand[H(w, 0)].phase == EMPTY && hand[H(w, 1)].phase == EMPTY)
#define can_claim(w)	(quiet(w) && reclaim[w] < 2)

/* A row in the database that it does not have in hand: nobody is at work on it. */
#define has(h, j)	(hand[h].phase != EMPTY && hand[h].job == j)
#define lost(w, j)	(row[j].status == PROCESSING && row[j].by == identity[w] && \
			 !has(H(w, 0), j) && !has(H(w, 1), j))
#if JOBS == 1
#define lost_is_locked(w)	(lost(w, 0) && !free(0))
#else
#define lost_is_locked(w)	((lost(w, 0) && !free(0)) || (lost(w, 1) && !free(1)))
#endif

inline claim_into(w, h, what) {
	con[w].statement = what;
	con[w].hand = h;
	con[w].who = identity[w];
	con[w].step = 1;
	write_next[w] = false
}

inline settle_hand(w, h, what) {
	con[w].statement = what;
	con[w].hand = h;
	con[w].who = identity[w];
	con[w].job = hand[h].job;
	con[w].claim = hand[h].claim;
	con[w].counted = hand[h].counted;
	con[w].outcome = hand[h].outcome;
	con[w].ghost_row = hand[h].ghost_row;
	hand[h].phase = SENT
}

inline rated_badly(h) {
	faults--;
	hand[h].phase = DECIDED;
	hand[h].any = true;
	hand[h].outcome = (hand[h].attempts + 1 >= MAX_ATTEMPTS -> FAILED : PENDING)
}

/* What is held and is not to be completed is left, as if it had never been claimed. */
inline leave(w, h) {
	unlock(w);
	reset(w);
	let_go(h);
	write_next[w] = true
}

proctype worker(byte w)
{
	byte j, h;

end:	do
	/* A claim is sent and carried out up to where it may have to wait, whichever way it looks. */
	:: atomic { can_claim(w) && IN_SOME_ROW(due) &&
		    (hand[H(w, 0)].phase == EMPTY || hand[H(w, 1)].phase == EMPTY) ->
		h = (hand[H(w, 0)].phase == EMPTY -> H(w, 0) : H(w, 1));
		if
#ifndef BRIEFLY
		:: SQL(claim); claim_into(w, h, CLAIM)
		:: SQL(claim_these); claim_into(w, h, CLAIM)
#endif
		:: SQL(claim_briefly); claim_into(w, h, CLAIM_BRIEFLY); con[w].step = 2
		:: SQL(claim_these_briefly); claim_into(w, h, CLAIM_BRIEFLY); con[w].step = 2
		fi;
		lock_due(w, false);
		h = 0 }
	:: atomic { can_claim(w) && IN_SOME_ROW(new_due) && empty_handed(w) && !write_next[w] ->
		SQL(hold);
		claim_into(w, H(w, 0), HOLD);
		lock_due(w, true);
		j = con[w].job;
		con[w].claim = row[j].claim;
		deliver(w, j);
		j = 0 }

	:: d_step { hand[H(w, 0)].phase == CLAIMED && hand[H(w, 1)].phase != RATING ->
		SAY("the worker rates");
		if
		:: faults > 0 -> hand[H(w, 0)].phase = RATING
		:: else -> rated_well(H(w, 0))
		fi }
	:: d_step { hand[H(w, 1)].phase == CLAIMED && hand[H(w, 0)].phase != RATING ->
		SAY("the worker rates");
		if
		:: faults > 0 -> hand[H(w, 1)].phase = RATING
		:: else -> rated_well(H(w, 1))
		fi }
	:: d_step { hand[H(w, 0)].phase == RATING -> SAY("it has its rating"); rated_well(H(w, 0)) }
	:: d_step { hand[H(w, 1)].phase == RATING -> SAY("it has its rating"); rated_well(H(w, 1)) }
	:: d_step { hand[H(w, 0)].phase == RATING && faults > 0 ->
		SAY("it gets no rating"); rated_badly(H(w, 0)) }
	:: d_step { hand[H(w, 1)].phase == RATING && faults > 0 ->
		SAY("it gets no rating"); rated_badly(H(w, 1)) }

	:: d_step { hand[H(w, 0)].phase == DECIDED && hand[H(w, 0)].held &&
		    hand[H(w, 0)].outcome == COMPLETED ->
		SAY("the worker completes what it holds");
		con[w].counted = PENDING;
		con[w].outcome = COMPLETED;
		con[w].ghost_row = hand[H(w, 0)].ghost_row;
		con[w].step = 2;
		hand[H(w, 0)].phase = SENT }
	:: d_step { hand[H(w, 0)].phase == DECIDED && hand[H(w, 0)].held &&
		    hand[H(w, 0)].outcome != COMPLETED ->
		SAY("the worker leaves what it holds");
		leave(w, H(w, 0)) }
	:: atomic { quiet(w) && (hand[H(w, 0)].phase == DECIDED || hand[H(w, 1)].phase == DECIDED) ->
		if
		:: hand[H(w, 0)].phase == DECIDED -> h = H(w, 0)
		:: hand[H(w, 1)].phase == DECIDED -> h = H(w, 1)
		fi;
		/* Of a job that lost lines, say, settle.sql is told although it is completed. */
		if
		:: !hand[h].any -> SAY("the worker sends complete"); settle_hand(w, h, COMPLETE)
		:: SAY("the worker sends settle");
			settle_hand(w, h, SETTLE);
			con[w].step = 1
		fi;
		h = 0 }

	/*
	 * After each new connection, and once more when nothing that was given up can follow. Not
	 * with a claim on its way.
	 */
	:: d_step { quiet(w) && (reclaim[w] == 2 || (reclaim[w] == 1 && quiet(ORPHAN))) &&
		    !lost_is_locked(w) ->
		SQL(release_lost);
		reclaim[w]--;
		k = 0;
		do
		:: k < JOBS ->
			if
			:: lost(w, k) -> row[k].status = PENDING; row[k].by = NOBODY
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0 }
	od
}

/* ---- what goes wrong ---- */

/*
 * What the connection was at is left to itself, if there is room for it, or is undone. Locks go
 * with it.
 */
inline orphan(w) {
	if
	:: con[w].statement != IDLE && con[ORPHAN].statement == IDLE ->
		con[ORPHAN].statement = con[w].statement;
		con[ORPHAN].step = con[w].step;
		con[ORPHAN].snapshot = con[w].snapshot;
		con[ORPHAN].seq = con[w].seq;
		con[ORPHAN].who = con[w].who;
		con[ORPHAN].job = con[w].job;
		con[ORPHAN].claim = con[w].claim;
		con[ORPHAN].counted = con[w].counted;
		con[ORPHAN].outcome = con[w].outcome;
		con[ORPHAN].ghost_row = con[w].ghost_row;
		k = 0;
		do
		:: k < JOBS ->
			if
			:: row[k].lock == LOCKED_BY(w) -> row[k].lock = LOCKED_BY(ORPHAN)
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0;
		if
		:: session_lock == LOCKED_BY(w) -> session_lock = LOCKED_BY(ORPHAN)
		:: else
		fi
	:: else -> unlock(w)
	fi;
	reset(w)
}

/* It connects again. What it held by locks it leaves; what it was settling it sends again. */
inline cut(w) {
	faults--;
	if
	:: con[w].statement == HOLD && hand[H(w, 0)].phase != EMPTY ->
		let_go(H(w, 0));
		write_next[w] = true
	:: else
	fi;
	if
	:: hand[H(w, 0)].phase == SENT -> hand[H(w, 0)].phase = DECIDED
	:: else
	fi;
	if
	:: hand[H(w, 1)].phase == SENT -> hand[H(w, 1)].phase = DECIDED
	:: else
	fi;
	orphan(w);
	reclaim[w] = 2
}

inline note_crumb(w, h) {
	if
	:: hand[h].phase == RATING ->
		ghost_culprit[identity[w]] = hand[h].ghost_row;
		death[w].in_hand = true;
		death[w].job = hand[h].job;
		death[w].claim = hand[h].claim
	:: else
	fi
}

#define undecided(h)	(hand[h].phase == CLAIMED || hand[h].phase == RATING)

/* What is decided and waits to be settled is not being rated any more. */
inline note_only(w, h, other) {
	if
	:: !death[w].in_hand && undecided(h) && !undecided(other) ->
		death[w].only = true;
		death[w].job = hand[h].job;
		death[w].claim = hand[h].claim
	:: else
	fi
}

/* And is born again, under a new identity. */
inline die(w, is_outside) {
	faults--;
	death[w].who = identity[w];
	death[w].outside = is_outside;
	note_crumb(w, H(w, 0));
	note_crumb(w, H(w, 1));
	note_only(w, H(w, 0), H(w, 1));
	note_only(w, H(w, 1), H(w, 0));
	be_reborn(w)
}

inline be_reborn(w) {
	orphan(w);
	let_go(H(w, 0));
	let_go(H(w, 1));
	reclaim[w] = 0;
	write_next[w] = false;
	identity[w] = next_identity;
	next_identity++
}

proctype fate(byte w)
{
	do
	:: d_step { faults > 0 && con[w].statement != IDLE -> SAY("a connection is cut"); cut(w) }
	:: d_step { faults > 0 && death[w].who == 0 -> SAY("a worker crashes"); die(w, false) }
	:: d_step { faults > 0 && death[w].who == 0 -> SAY("a worker is killed"); die(w, true) }
	:: d_step { faults > 0 -> SAY("a host is lost");
		faults--;
		ghost_lost[identity[w]] = true;
		be_reborn(w) }
	:: atomic { faults == 0 -> break }
	od
}

/* ---- the janitors ---- */

byte held, guilt;

#ifdef OLD_CLAIM_NUMBERS
#define in_word(d, j)	(death[d].job == j)
#define IS_LOOSE(j)	&& row[j].claim == 0
#else
#define in_word(d, j)	(death[d].job == j && death[d].claim == row[j].claim)
#define IS_LOOSE(j)
#endif
#define in_crumb(d, j)	(death[d].in_hand && in_word(d, j))
#define is_only(d, j)	(death[d].only && in_word(d, j))

#define holds(id, j)	(row[j].status == PROCESSING && row[j].by == id)
#define lives(id)	(id == identity[0] || id == identity[1])
#define is_told(id)	(id == death[0].who || id == death[1].who)

/* An attempt may count (charged); where none are left the job ends. */
inline put_back(j, charged) {
	row[j].attempts = row[j].attempts + charged;
	row[j].by = NOBODY;
	if
	:: charged && row[j].attempts >= MAX_ATTEMPTS ->
		row[j].status = FAILED;
		failed = failed + (row[j].counted != FAILED);
		completed = completed - (row[j].counted == COMPLETED);
		row[j].counted = FAILED;
		session_there = true
	:: else -> row[j].status = PENDING
	fi
}

/*
 * To blame is the job in which it died of itself, and the only one that it had if that was being
 * rated. What is locked is passed by.
 */
inline recover_row(d, j) {
#ifdef OLD_BLAME
	guilt = held == 1 || !death[d].outside && in_crumb(d, j);
#else
	guilt = held == 1 && (is_only(d, j) || in_crumb(d, j)) ||
		!death[d].outside && in_crumb(d, j);
#endif
	if
	:: free(j) && holds(death[d].who, j) ->
		if
		:: guilt -> check_charge(death[d].who, j)
		:: else
		fi;
		put_back(j, guilt)
	:: free(j) && row[j].status == PENDING && in_crumb(d, j) IS_LOOSE(j) ->
		/* It was held by a lock, as nothing has been written of it. */
		if
		:: !death[d].outside -> check_charge(death[d].who, j)
		:: else
		fi;
		put_back(j, !death[d].outside);
		number_claim(j)
	:: else
	fi
}

/* It is told as the death of a worker that nobody saw, and charged to nobody. */
#define orphaned(j)	(row[j].status == PROCESSING && row[j].by != NOBODY && \
			 !lives(row[j].by) && !is_told(row[j].by) && !ghost_lost[row[j].by])
inline recover_orphan(j) {
#ifdef OLD_BLAME
	held = holds(row[j].by, 0);
#if JOBS > 1
	held = held + holds(row[j].by, 1);
#endif
	guilt = held == 1;
	if
	:: guilt -> check_charge(row[j].by, j)
	:: else
	fi;
#endif
	put_back(j, guilt);
	held = 0;
	guilt = 0;
	check_counters()
}

inline recover_all(d) {
	held = holds(death[d].who, 0);
#if JOBS > 1
	held = held + holds(death[d].who, 1);
#endif
	recover_row(d, 0);
#if JOBS > 1
	recover_row(d, 1);
#endif
	held = 0;
	guilt = 0;
	check_counters()
}

inline forget(d) {
	death[d].who = 0;
	death[d].in_hand = false;
	death[d].only = false;
	death[d].job = 0;
	death[d].claim = 0;
	death[d].outside = false
}

/* Nobody will settle it: its host is lost, or its worker has forgotten it. */
#define in_work(h, j)	(has(h, j) && hand[h].claim == row[j].claim)
#define is_settled_by(c, j)	(con[c].statement != IDLE && con[c].job == j && \
				 con[c].claim == row[j].claim)
#define stuck(j)	(row[j].status == PROCESSING && !in_work(0, j) && !in_work(1, j) && \
			 !in_work(2, j) && !in_work(3, j) && \
			 (lives(row[j].by) || ghost_lost[row[j].by]))
#ifdef NO_REAPER
#undef stuck
#define stuck(j)	false
#endif

inline reap_row(j) {
	SQL(reap);
	put_back(j, 1);
	check_counters()
}

proctype janitor()
{
end:	do
	:: d_step { death[0].who && session_lock == NOBODY -> SQL(recover); recover_all(0); forget(0) }
	:: d_step { death[1].who && session_lock == NOBODY -> SQL(recover); recover_all(1); forget(1) }
	/* Rows of the dead that were locked then, or claimed since by what was given up. */
	:: d_step { orphaned(0) && free(0) && session_lock == NOBODY ->
		SAY("recover: nobody knows how it ended"); recover_orphan(0) }
#if JOBS > 1
	:: d_step { orphaned(1) && free(1) && session_lock == NOBODY ->
		SAY("recover: nobody knows how it ended"); recover_orphan(1) }
#endif
	:: d_step { stuck(0) && free(0) && session_lock == NOBODY -> reap_row(0) }
	:: d_step { row[0].status == PROCESSING && lives(row[0].by) && !stuck(0) && free(0) &&
		    session_lock == NOBODY && faults > 0 ->
		SAY("a worker is slow"); faults--; reap_row(0) }
#if JOBS > 1
	:: d_step { stuck(1) && free(1) && session_lock == NOBODY -> reap_row(1) }
	:: d_step { row[1].status == PROCESSING && lives(row[1].by) && !stuck(1) && free(1) &&
		    session_lock == NOBODY && faults > 0 ->
		SAY("a worker is slow"); faults--; reap_row(1) }
#endif
	od
}

/* ---- the application ---- */

/* A deleted row stays counted, and a new one comes under its id. */
inline delete_and_insert(j) {
	changes--;
	ghost_gone_completed = ghost_gone_completed + (row[j].counted == COMPLETED);
	ghost_gone_failed = ghost_gone_failed + (row[j].counted == FAILED);
	row[j].status = PENDING;
	row[j].by = NOBODY;
	row[j].counted = PENDING;
	row[j].attempts = 0;
	number_inserted(j);
	row[j].ghost_row = ghost_next_row;
	ghost_next_row++;
	check_counters()
}

/* As the runbook says it, or of a job that has ended. */
inline make_pending(j) {
	changes--;
	row[j].attempts = row[j].attempts + (row[j].status == PROCESSING);
	row[j].status = PENDING
}

proctype application(byte j)
{
	do
	:: d_step { changes > 0 && free(j) -> SAY("a row is deleted and inserted again");
		delete_and_insert(j) }
	:: d_step { changes > 0 && free(j) && row[j].status != PENDING ->
		SAY("a row is made pending by hand"); make_pending(j) }
	:: atomic { changes == 0 -> break }
	od
}

#define ended(j)	(row[j].status == COMPLETED || row[j].status == FAILED)

init {
	d_step {
		k = 0;
		do
		:: k < JOBS ->
			number_inserted(k);
			row[k].ghost_row = ghost_next_row;
			ghost_next_row++;
			k++
		:: else -> break
		od;
		k = 0;
		identity[0] = 1;
		identity[1] = 2;
		next_identity = 3
	}
	atomic {
		run worker(0);
		run worker(1);
		run server(0);
		run server(1);
		run server(ORPHAN);
		run janitor();
		run fate(0);
		run application(0);
		/* Workers are alike, and so are jobs: of one thing it is enough to have one. */
#if FAULTS > 1
		run fate(1);
#endif
#if CHANGES > 1 && JOBS > 1
		run application(1);
#endif
		skip
	}
	/* Where nothing can happen any more everything is over. */
	timeout;
	assert(IN_EACH_ROW(ended));
	assert(session_lock == NOBODY && IN_EACH_ROW(free))
}

#ifdef LIVENESS
ltl every_job_ends { <> [] (IN_EACH_ROW(ended)) }
#endif
