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
 * which statements are not here, and run.sh compares. CALL(function) is one of the functions for
 * applications.
 *
 * A connection that is cut, or whose worker died, leaves its statement behind: the server may carry
 * it out later, commit included, and nobody hears of it. That is at once the lost answer of a
 * commit (it is carried out at once) and the late finish of a statement that everybody has given
 * up.
 *
 * FAULTS things go wrong, and CHANGES are made by the application; then no more. Built with
 *   BRIEFLY   no claim opens the session's row, which makes fewer states
 *   PARTS     a line may be stored as it arrives, before its job is settled
 *   CRASH     what goes wrong is that the server crashes, and loses claims that are not on its disk
 *   FORGET    the application's change is that it has the session forgotten; it enqueues what is
 *             not there, the second job for the first time
 * it is searched for more, and with
 *   OLD_CLAIM_NUMBERS   a claim's number is the row's last one and one, from 0 for a new row
 *   OLD_CURSORS         settle numbers lines from the session's row as its snapshot shows it
 *   OLD_BLAME           the only job of a dead worker is to blame, wherever it died
 *   OLD_CLAIMANTS       settlements ask for the claim's number alone, which a crash may give out
 *                       again
 *   OLD_PARTS           a line counts as stored when it has been sent
 *   OLD_FORGET          what is counted while the session is being forgotten is not looked at
 *   NO_REAPER           nobody puts back what has been in processing for too long
 * it follows rules that were in force once, or might have been, and finds what is wrong with them.
 *
 * What begins with ghost_ is known to nobody but the properties.
 */

#ifndef JOBS
#define JOBS 0
#endif
#ifndef FAULTS
#define FAULTS 0
#endif
#ifndef CHANGES
#define CHANGES 0
#endif
#ifndef BRIEFLY
#define BRIEFLY 0
#endif
#ifndef PARTS
#define PARTS 0
#endif
#ifndef CRASH
#define CRASH 0
#endif
#ifndef FORGET
#define FORGET 0
#endif
#ifndef OLD_CLAIM_NUMBERS
#define OLD_CLAIM_NUMBERS 0
#endif
#ifndef OLD_CURSORS
#define OLD_CURSORS 0
#endif
#ifndef OLD_BLAME
#define OLD_BLAME 0
#endif
#ifndef OLD_CLAIMANTS
#define OLD_CLAIMANTS 0
#endif
#ifndef OLD_PARTS
#define OLD_PARTS 0
#endif
#ifndef OLD_FORGET
#define OLD_FORGET 0
#endif
#ifndef NO_REAPER
#define NO_REAPER 0
#endif
#define MAX_JOBS 2
#define MAX_FAULTS 2
#define WORKERS 2
#define HANDS 4			/* two for each worker */
#define MAX_ATTEMPTS 2

#define SQL(statement)	printf("%d  ", _pid); printf(#statement); printf("\n")
#define CALL(function)	printf("%d  ", _pid); printf(#function); printf("\n")
#define SAY(what)	printf("%d  (", _pid); printf(what); printf(")\n")

/* Kinds of session row, of job status, and of what is in a worker's hand. */
#define PENDING 0
#define PROCESSING 1
#define COMPLETED 2
#define FAILED 3
#define GONE 4			/* no row is there */

#define EMPTY 0
#define CLAIMED 1
#define RATING 2		/* the worker's processor is in it: its breadcrumb names it */
#define DECIDED 3
#define SENT 4			/* a settlement of it is on its way */
#define SENT_PART 5		/* one that only stores what has arrived */

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
#define APPLICATION 3		/* as one that locks; its connection has no more to remember */
#define LOCKED_BY(c) (c + 1)
#define NOBODY 0
#define IDENTITIES (1 + WORKERS + MAX_FAULTS)

typedef Row {
	byte status;
	byte claim;		/* the number of its latest claim */
	byte by;		/* who claimed it; 0: nobody */
	byte counted;		/* as what the session's counters have it; PENDING: not at all */
	byte attempts;
	byte lock;
	bool brief;		/* its claim is committed, and may not be on the disk; */
	byte was_claim;		/* this is there */
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
	bool stored;		/* its line is known to be there, */
	bool in_doubt;		/* or was sent, and nobody knows */
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
	bool brings;		/* its line comes with it, */
	bool again;		/* as it may have done before */
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

Row row[MAX_JOBS];
Line line[MAX_JOBS];
Hand hand[HANDS];
Connection con[CONNECTIONS];
Death death[WORKERS];
byte identity[WORKERS];
byte reclaim[WORKERS];		/* how often lost claims are still to be released */
bool write_next[WORKERS];	/* the next claim is not to be held by locks */
byte next_identity = 1;
byte next_claim = 1;		/* the sequence of claim numbers, */
byte next_seq = 1;		/* of cursors */
byte disk_claim;		/* next_claim, as it is on the disk */
byte ghost_next_row = 1;

/* The session's row. Whoever inserts it has its lock as well. */
bool session_there;
byte session_lock;
byte forgetting;		/* how far grading_forget() is */
bool counted_since;		/* a job was counted since it looked at the session's row */
byte completed, failed, rated, rated_seq;

byte faults = FAULTS, changes = CHANGES;

/*
 * What is asked for. One checker is built for all of it, and reads it from its environment; spin
 * itself, which tells the story of a trail, gets it as macros.
 */
hidden byte jobs = JOBS, all_faults = FAULTS, all_changes = CHANGES;
hidden byte briefly = BRIEFLY, parts = PARTS, crashes = CRASH, forgets = FORGET;
hidden byte old_claim_numbers = OLD_CLAIM_NUMBERS, old_cursors = OLD_CURSORS;
hidden byte old_blame = OLD_BLAME, old_claimants = OLD_CLAIMANTS, old_parts = OLD_PARTS;
hidden byte old_forget = OLD_FORGET, no_reaper = NO_REAPER;

#define ASKED(name)	(getenv(#name) ? atoi(getenv(#name)) : 0)

byte ghost_gone_completed, ghost_gone_failed;	/* counted, and deleted since */
bool ghost_lost[IDENTITIES];	/* it went with its host: no janitor knows of it */
byte ghost_culprit[IDENTITIES];	/* the row in which it died, where that is known */
byte ghost_reader;		/* the highest cursor that a reader can have */

/* ---- what must hold ---- */

#define COUNT(is)	(is(0) + is(1))
#define FOR_EACH_ROW(what, c)	what(c, 0); what(c, 1)

#define is_completed(j)	(row[j].counted == COMPLETED)
#define is_failed(j)	(row[j].counted == FAILED)
#define is_rated(j)	line[j].there
#define has_line(j)	(line[j].there && line[j].ghost_row == row[j].ghost_row)
#define has_lost(j)	(row[j].status == COMPLETED && !has_line(j))

/* In every state, as what is not committed is to be seen nowhere. */
proctype monitor()
{
end:	do
	/* Counters equal rows. */
	:: completed != ghost_gone_completed + COUNT(is_completed) ->
		assert(completed == ghost_gone_completed + COUNT(is_completed))
	:: failed != ghost_gone_failed + COUNT(is_failed) ->
		assert(failed == ghost_gone_failed + COUNT(is_failed))
	:: rated != COUNT(is_rated) -> assert(rated == COUNT(is_rated))
	/* And nothing is lost. */
	:: COUNT(has_lost) > 0 -> assert(COUNT(has_lost) == 0)
	od
}

/*
 * A part that was given up, and what was sent again because nobody knows of it, may both be carried
 * out: it is the same rating.
 */
#define MAY_COME_AGAIN(c)	(con[c].again || c == ORPHAN && con[c].outcome == PROCESSING)

/* The line of job j is stored: under a claim of this very row, once, and behind what was read. */
inline store_line(c) {
	assert(row[j].ghost_row == con[c].ghost_row);	/* no rating of another row */
	assert(row[j].by == con[c].who);		/* nor under another's claim */
	assert(!line[j].there || line[j].ghost_row != con[c].ghost_row ||
		line[j].ghost_claim != con[c].claim || MAY_COME_AGAIN(c));	/* no line twice */
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
	if
	:: old_claim_numbers -> row[j].claim++
	:: else -> row[j].claim = next_claim; next_claim++
	fi
}

inline number_inserted(j) {
	if
	:: old_claim_numbers -> row[j].claim = 0
	:: else -> row[j].claim = next_claim; next_claim++
	fi
}

inline insert_row(j) {
	number_inserted(j);
	row[j].ghost_row = ghost_next_row;
	ghost_next_row++
}

/* Under the lock of the session's row. */
inline draw_cursor(c) {
	if
	:: old_cursors -> con[c].seq = rated_seq + 1
	:: else -> con[c].seq = next_seq; next_seq++
	fi
}

/* ---- Postgres ---- */

#define row_on_disk(c, j)	row[j].brief = false; row[j].was_claim = 0

/* A commit that waits for the disk brings all there that was committed before. */
inline on_disk() {
	if
	:: crashes ->
		FOR_EACH_ROW(row_on_disk, 0);
		disk_claim = (faults > 0 -> next_claim : 0)
	:: else
	fi
}

inline note_counting() {
	counted_since = (forgetting > 3)
}

/* Whoever claims briefly does not wait for the disk. */
inline claim_may_be_lost(c, j) {
	if
	:: crashes && con[c].statement == CLAIM_BRIEFLY && faults > 0 ->
		row[j].brief = true;
		row[j].was_claim = row[j].claim
	:: else
	fi
}
#define is_brief(j)	row[j].brief

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
	con[c].brings = false;
	con[c].again = false;
	con[c].ghost_row = 0
}

#define unlock_row(c, j)	row[j].lock = (row[j].lock == LOCKED_BY(c) -> NOBODY : row[j].lock)

/* The transaction ends; what it did is undone by whoever calls this, or stays. */
inline unlock(c) {
	FOR_EACH_ROW(unlock_row, c);
	session_lock = (session_lock == LOCKED_BY(c) -> NOBODY : session_lock)
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
	hand[h].stored = false;
	hand[h].in_doubt = false;
	hand[h].ghost_row = 0
}

inline rated_well(h) {
	hand[h].phase = DECIDED;
	hand[h].outcome = COMPLETED
}

/* What can happen to a job while it is rated; a crash of the server does nothing to it then. */
#define AT_RISK		(faults > 0 && !crashes)

/* The worker takes what it has claimed in hand, if it is there to hear of it. */
inline deliver(c, j) {
	if
	:: c != ORPHAN ->
		h = con[c].hand;
		hand[h].phase = CLAIMED;
		if
		:: !AT_RISK -> rated_well(h)	/* nothing can happen to it meanwhile */
		:: else
		fi;
		hand[h].job = j;
		hand[h].claim = row[j].claim;
		hand[h].counted = row[j].counted;
		hand[h].attempts = row[j].attempts;
		hand[h].any = (row[j].counted != PENDING);
		if
		:: parts && con[c].statement != HOLD && has_line(j) ->
			hand[h].stored = true;
			hand[h].any = true
		:: else
		fi;
		hand[h].held = (con[c].statement == HOLD);
		hand[h].ghost_row = row[j].ghost_row;
		h = 0
	:: else
	fi
}

/* It is over, for the worker that is still there to hear it. */
inline drop(c) {
	if
	:: c != ORPHAN -> h = con[c].hand; let_go(h); h = 0
	:: else
	fi;
	reset(c)
}

/* Its settlement is answered. */
inline answered(c) {
	if
	:: con[c].outcome == PROCESSING && c != ORPHAN ->
		h = con[c].hand;
		hand[h].phase = RATING;
		hand[h].stored = true;
		hand[h].in_doubt = false;
		hand[h].any = true;
		h = 0;
		reset(c)
	:: else -> drop(c)
	fi
}

inline commit_settled(c) {
	j = con[c].job;
	row[j].status = con[c].outcome;
	if
	:: con[c].outcome == COMPLETED ->
		completed = completed + 1 - (con[c].counted == COMPLETED);
		failed = failed - (con[c].counted == FAILED);
		row[j].counted = COMPLETED;
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
	:: con[c].outcome == PROCESSING
	fi;
	if
	:: con[c].brings -> store_line(c); rated_seq++; session_there = true
	:: else
	fi;
	j = 0;
	note_counting();
	on_disk();
	unlock(c)
}

#define still_ours(c)	(row[con[c].job].status == PROCESSING && \
			 row[con[c].job].claim == con[c].claim && \
			 (old_claimants || row[con[c].job].by == con[c].who))
#define session_free(c)	(session_lock == NOBODY || session_lock == LOCKED_BY(c))
#define free(j)		(row[j].lock == NOBODY)
#define free_or_taken(j) (free(j) || row[j].lock == LOCKED_BY(APPLICATION))
#define due(j)		(row[j].status == PENDING && free(j))
#define new_due(j)	(due(j) && row[j].counted == PENDING)
#define IN_SOME_ROW(is)	(is(0) || is(1))
#define IN_EACH_ROW(is)	(is(0) && is(1))
#define at(c, what, n)	(con[c].statement == what && con[c].step == n)

/* Without the session's row: what brings no line, and once whatever it was. */
#define MAY_GO_ON(c)	(con[c].outcome != PENDING && (!con[c].brings || old_cursors))

/* Of two rows to which nothing has happened yet it is enough to look at one. */
#define NEVER_CLAIMED	(old_claim_numbers -> 1 : 1 + jobs)
#define ALIKE	(all_changes == 0 && next_claim == NEVER_CLAIMED && due(0) && due(1))

/* Locks one of the rows that are due. */
inline lock_due(c, of_new) {
	if
	:: due(0) && (!of_new || row[0].counted == PENDING) -> con[c].job = 0
	:: due(1) && (!of_new || row[1].counted == PENDING) && !ALIKE -> con[c].job = 1
	fi;
	row[con[c].job].lock = LOCKED_BY(c)
}

/* The worker sends it again, in the form that takes whatever is there. */
inline to_be_sent_again(c) {
	unlock(c);
	if
	:: c != ORPHAN ->
		h = con[c].hand;
		hand[h].phase = (hand[h].phase == SENT_PART -> RATING : DECIDED);
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
		claim_may_be_lost(c, j);
		number_claim(j);
		if
		:: con[c].statement == CLAIM -> on_disk()
		:: else
		fi;
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
		:: else -> SAY("moved on"); drop(c)
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
			if
			:: old_claim_numbers -> number_claim(j); con[c].claim = row[j].claim
			:: else
			fi;
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
		:: else -> SAY("moved on"); drop(c)
		fi }
	/* No line and nothing to count: the session's row is left alone. */
	:: d_step { at(c, SETTLE, 3) && con[c].outcome == PENDING ->
		SAY("the settlement commits: put back");
		commit_settled(c);
		answered(c) }
	/* Whoever makes it too is waited for. Nothing is settled; the same again finds the row. */
	:: d_step { at(c, SETTLE, 3) && con[c].brings && !con[c].snapshot &&
		    session_lock == NOBODY && !old_cursors ->
		SAY("settle makes the session's row, and commits that alone");
		session_there = true;
		on_disk();
		to_be_sent_again(c) }
	/* FOR UPDATE locks, and waits for, what the snapshot shows. */
	:: d_step { at(c, SETTLE, 3) && con[c].outcome != PENDING && con[c].snapshot &&
		    session_lock == NOBODY && session_there ->
		SAY("settle has the session's row");
		session_lock = LOCKED_BY(c);
		if
		:: con[c].brings -> draw_cursor(c)
		:: else
		fi;
		con[c].step = 4 }
	/* Nothing is settled; the same again finds that no row is there, and makes one. */
	:: d_step { at(c, SETTLE, 3) && con[c].brings && con[c].snapshot &&
		    session_lock == NOBODY && !session_there ->
		SAY("settle finds the session's row deleted");
		to_be_sent_again(c) }
	:: d_step { at(c, SETTLE, 3) && (!con[c].snapshot || !session_there) && MAY_GO_ON(c) ->
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
#define lost_is_locked(w)	((lost(w, 0) && !free(0)) || (lost(w, 1) && !free(1)))

inline release_row(w, j) {
	if
	:: lost(w, j) -> row[j].status = PENDING; row[j].by = NOBODY
	:: else
	fi
}

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
	con[w].brings = (hand[h].outcome == COMPLETED && !hand[h].stored);
	con[w].again = hand[h].in_doubt;
	con[w].ghost_row = hand[h].ghost_row;
	hand[h].phase = SENT
}

/* Its line is stored as it arrives; what else it has is still with the rater. */
inline settle_part(w, h) {
	hand[h].outcome = COMPLETED;
	settle_hand(w, h, SETTLE);
	con[w].outcome = PROCESSING;
	con[w].step = 1;
	hand[h].outcome = 0;
	hand[h].phase = SENT_PART;
	if
	:: old_parts -> hand[h].stored = true; hand[h].any = true
	:: else
	fi
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
	/* A claim is sent and carried out to where it may have to wait, whichever way it looks. */
	:: atomic { can_claim(w) && IN_SOME_ROW(due) &&
		    (hand[H(w, 0)].phase == EMPTY || hand[H(w, 1)].phase == EMPTY) ->
		h = (hand[H(w, 0)].phase == EMPTY -> H(w, 0) : H(w, 1));
		if
		:: !briefly -> SQL(claim); claim_into(w, h, CLAIM)
		:: !briefly -> SQL(claim_these); claim_into(w, h, CLAIM)
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
		:: AT_RISK -> hand[H(w, 0)].phase = RATING
		:: else -> rated_well(H(w, 0))
		fi }
	:: d_step { hand[H(w, 1)].phase == CLAIMED && hand[H(w, 0)].phase != RATING ->
		SAY("the worker rates");
		if
		:: AT_RISK -> hand[H(w, 1)].phase = RATING
		:: else -> rated_well(H(w, 1))
		fi }
	:: d_step { hand[H(w, 0)].phase == RATING -> SAY("it has its rating"); rated_well(H(w, 0)) }
	:: d_step { hand[H(w, 1)].phase == RATING -> SAY("it has its rating"); rated_well(H(w, 1)) }
	:: d_step { hand[H(w, 0)].phase == RATING && AT_RISK ->
		SAY("it gets no rating"); rated_badly(H(w, 0)) }
	:: d_step { hand[H(w, 1)].phase == RATING && AT_RISK ->
		SAY("it gets no rating"); rated_badly(H(w, 1)) }

	:: d_step { parts && quiet(w) && hand[H(w, 0)].phase == RATING && !hand[H(w, 0)].stored ->
		SAY("the worker sends settle, for what has arrived");
		settle_part(w, H(w, 0)) }
	:: d_step { parts && quiet(w) && hand[H(w, 1)].phase == RATING && !hand[H(w, 1)].stored ->
		SAY("the worker sends settle, for what has arrived");
		settle_part(w, H(w, 1)) }

	:: d_step { hand[H(w, 0)].phase == DECIDED && hand[H(w, 0)].held &&
		    hand[H(w, 0)].outcome == COMPLETED ->
		SAY("the worker completes what it holds");
		con[w].counted = PENDING;
		con[w].outcome = COMPLETED;
		con[w].brings = true;
		con[w].ghost_row = hand[H(w, 0)].ghost_row;
		con[w].step = 2;
		hand[H(w, 0)].phase = SENT }
	:: d_step { hand[H(w, 0)].phase == DECIDED && hand[H(w, 0)].held &&
		    hand[H(w, 0)].outcome != COMPLETED ->
		SAY("the worker leaves what it holds");
		leave(w, H(w, 0)) }
	:: atomic { quiet(w) &&
		    (hand[H(w, 0)].phase == DECIDED || hand[H(w, 1)].phase == DECIDED) ->
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
		FOR_EACH_ROW(release_row, w);
		on_disk() }
	od
}

/* ---- what goes wrong ---- */

#define leave_lock(w, j)	\
	row[j].lock = (row[j].lock == LOCKED_BY(w) -> LOCKED_BY(ORPHAN) : row[j].lock)

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
		con[ORPHAN].brings = con[w].brings;
		con[ORPHAN].again = con[w].again;
		con[ORPHAN].ghost_row = con[w].ghost_row;
		FOR_EACH_ROW(leave_lock, w);
		session_lock = (session_lock == LOCKED_BY(w) -> LOCKED_BY(ORPHAN) : session_lock)
	:: else -> unlock(w)
	fi;
	reset(w)
}

inline doubt_part(h) {
	hand[h].phase = RATING;
	hand[h].in_doubt = true;
	hand[h].any = true
}

/* What it held by locks it leaves; what it was settling it sends again. */
inline disconnect(w) {
	if
	:: con[w].statement == HOLD && hand[H(w, 0)].phase != EMPTY ->
		let_go(H(w, 0));
		write_next[w] = true
	:: else
	fi;
	if
	:: hand[H(w, 0)].phase == SENT -> hand[H(w, 0)].phase = DECIDED
	:: hand[H(w, 0)].phase == SENT_PART -> doubt_part(H(w, 0))
	:: else
	fi;
	if
	:: hand[H(w, 1)].phase == SENT -> hand[H(w, 1)].phase = DECIDED
	:: hand[H(w, 1)].phase == SENT_PART -> doubt_part(H(w, 1))
	:: else
	fi;
	reclaim[w] = 2
}

/* It connects again. */
inline cut(w) {
	faults--;
	disconnect(w);
	orphan(w)
}

inline lose_connection(w) {
	disconnect(w);
	unlock(w);
	reset(w)
}

inline lose_claim(c, j) {
	if
	:: row[j].brief ->
		row[j].status = PENDING;
		row[j].by = NOBODY;
		row[j].claim = row[j].was_claim
	:: else
	fi
}

/* What is not on the disk never was, claim numbers that were drawn since included. */
inline crash() {
	faults--;
	lose_connection(0);
	lose_connection(1);
	FOR_EACH_ROW(lose_claim, 0);
	next_claim = disk_claim;
	on_disk()
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

#define undecided(h)	(hand[h].phase == CLAIMED || hand[h].phase == RATING || \
			 hand[h].phase == SENT_PART)

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
end:	do
	:: d_step { crashes && faults > 0 -> SAY("the server crashes"); crash() }
	:: d_step { IN_SOME_ROW(is_brief) && faults > 0 ->
		SAY("the claims reach the disk");
		on_disk() }
	:: d_step { AT_RISK && con[w].statement != IDLE -> SAY("a connection is cut"); cut(w) }
	:: d_step { AT_RISK && death[w].who == 0 -> SAY("a worker crashes"); die(w, false) }
	:: d_step { AT_RISK && death[w].who == 0 -> SAY("a worker is killed"); die(w, true) }
	:: d_step { AT_RISK -> SAY("a host is lost");
		faults--;
		ghost_lost[identity[w]] = true;
		be_reborn(w) }
	od
}

/* ---- the janitors ---- */

byte held, guilt;

#define in_word(d, j)	(death[d].job == j && \
			 (old_claim_numbers || death[d].claim == row[j].claim))
#define in_crumb(d, j)	(death[d].in_hand && in_word(d, j))
#define is_only(d, j)	(death[d].only && in_word(d, j))
#define IS_LOOSE(j)	(!old_claim_numbers || row[j].claim == 0)

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
	fi;
	note_counting()
}

/*
 * To blame is the job in which it died of itself, and the only one that it had if that was being
 * rated. What is locked is passed by.
 */
inline recover_row(d, j) {
	guilt = held == 1 && (old_blame || is_only(d, j) || in_crumb(d, j)) ||
		!death[d].outside && in_crumb(d, j);
	if
	:: free(j) && holds(death[d].who, j) ->
		if
		:: guilt -> check_charge(death[d].who, j)
		:: else
		fi;
		put_back(j, guilt)
	:: free(j) && row[j].status == PENDING && in_crumb(d, j) && IS_LOOSE(j) ->
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
	held = holds(row[j].by, 0) + holds(row[j].by, 1);
	guilt = held == 1 && old_blame;
	if
	:: guilt -> check_charge(row[j].by, j)
	:: else
	fi;
	put_back(j, guilt);
	held = 0;
	guilt = 0;
	on_disk()
}

inline recover_all(d) {
	held = holds(death[d].who, 0) + holds(death[d].who, 1);
	recover_row(d, 0);
	recover_row(d, 1);
	held = 0;
	guilt = 0;
	on_disk()
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
#define stuck(j)	(!no_reaper && row[j].status == PROCESSING && \
			 !in_work(0, j) && !in_work(1, j) && \
			 !in_work(2, j) && !in_work(3, j) && \
			 (lives(row[j].by) || ghost_lost[row[j].by]))

inline reap_row(j) {
	SQL(reap);
	put_back(j, 1);
	on_disk()
}

proctype janitor()
{
end:	do
	:: d_step { death[0].who && session_lock == NOBODY ->
		SQL(recover);
		recover_all(0);
		forget(0) }
	:: d_step { death[1].who && session_lock == NOBODY ->
		SQL(recover);
		recover_all(1);
		forget(1) }
	/* Rows of the dead that were locked then, or claimed since by what was given up. */
	:: d_step { orphaned(0) && free(0) && session_lock == NOBODY ->
		SAY("recover: nobody knows how it ended"); recover_orphan(0) }
	:: d_step { orphaned(1) && free(1) && session_lock == NOBODY ->
		SAY("recover: nobody knows how it ended"); recover_orphan(1) }
	:: d_step { stuck(0) && free(0) && session_lock == NOBODY -> reap_row(0) }
	:: d_step { row[0].status == PROCESSING && lives(row[0].by) && !stuck(0) && free(0) &&
		    session_lock == NOBODY && AT_RISK ->
		SAY("a worker is slow"); faults--; reap_row(0) }
	:: d_step { stuck(1) && free(1) && session_lock == NOBODY -> reap_row(1) }
	:: d_step { row[1].status == PROCESSING && lives(row[1].by) && !stuck(1) && free(1) &&
		    session_lock == NOBODY && AT_RISK ->
		SAY("a worker is slow"); faults--; reap_row(1) }
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
	insert_row(j);
	on_disk()
}

/* As the runbook says it, or of a job that has ended. */
inline make_pending(j) {
	changes--;
	row[j].attempts = row[j].attempts + (row[j].status == PROCESSING);
	row[j].status = PENDING;
	on_disk()
}

proctype application(byte j)
{
end:	do
	:: d_step { changes > 0 && free(j) -> SAY("a row is deleted and inserted again");
		delete_and_insert(j) }
	:: d_step { changes > 0 && free(j) && row[j].status != PENDING ->
		SAY("a row is made pending by hand"); make_pending(j) }
	od
}

/*
 * grading_forget() locks the jobs that it finds and deletes them, with those that have come
 * meanwhile, and then the session's row with all that is stored. A job that comes later still, and
 * is counted in that row before it is locked, would lose what it has brought: all is done again.
 */
inline take_away(j) {
	if
	:: row[j].status != GONE -> row[j].lock = LOCKED_BY(APPLICATION)
	:: else
	fi;
	forgetting++
}

inline remove_row(j) {
	if
	:: row[j].lock == LOCKED_BY(APPLICATION) ->
		row[j].status = GONE;
		row[j].by = NOBODY;
		row[j].counted = PENDING;
		row[j].attempts = 0;
		row[j].claim = 0;
		row[j].ghost_row = 0
	:: else
	fi
}

inline remove_line(j) {
	line[j].there = false;
	line[j].ghost_row = 0;
	line[j].ghost_claim = 0
}

inline forget_session() {
	remove_row(0);
	remove_line(0);
	remove_row(1);
	remove_line(1);
	unlock(APPLICATION);
	session_there = false;
	completed = 0;
	failed = 0;
	rated = 0;
	rated_seq = 0;
	ghost_gone_completed = 0;
	ghost_gone_failed = 0;
	forgetting = 0;
	counted_since = false
}

/* What is not there is enqueued, for the first time or again. */
inline submit(j) {
	session_there = true;
	row[j].status = PENDING;
	insert_row(j)
}

#define MAY_BE_FORGOTTEN	(old_forget || !counted_since)

proctype forgetter()
{
end:	do
	:: d_step { changes > 0 && forgetting == 0 ->
		CALL(grading_forget);
		changes--;
		forgetting = 1 }
	:: d_step { forgetting == 1 && free_or_taken(0) ->
		SAY("grading_forget locks");
		take_away(0) }
	:: d_step { forgetting == 2 && free_or_taken(1) ->
		SAY("grading_forget locks");
		take_away(1) }
	:: d_step { forgetting == 3 -> SAY("grading_forget looks at the session's row");
		counted_since = false;
		forgetting++ }
	:: d_step { forgetting == 4 && free_or_taken(0) ->
		SAY("grading_forget deletes");
		take_away(0) }
	:: d_step { forgetting == 5 && free_or_taken(1) ->
		SAY("grading_forget deletes");
		take_away(1) }
	:: d_step { forgetting == 6 && (!session_there || session_lock == NOBODY) ->
		if
		:: MAY_BE_FORGOTTEN -> SAY("grading_forget commits"); forget_session()
		:: else -> SAY("grading_forget begins anew"); forgetting = 1
		fi }

	:: d_step { row[0].status == GONE && session_lock == NOBODY ->
		CALL(grading_submit); submit(0) }
	:: d_step { row[1].status == GONE && session_lock == NOBODY && jobs > 1 ->
		CALL(grading_submit); submit(1) }
	od
}

#define ended(j)	(row[j].status == COMPLETED || row[j].status == FAILED || j >= jobs)

init {
#ifdef ASK
	c_code {
		jobs = ASKED(JOBS);
		now.faults = all_faults = ASKED(FAULTS);
		now.changes = all_changes = ASKED(CHANGES);
		briefly = ASKED(BRIEFLY);
		parts = ASKED(PARTS);
		crashes = ASKED(CRASH);
		forgets = ASKED(FORGET);
		old_claim_numbers = ASKED(OLD_CLAIM_NUMBERS);
		old_cursors = ASKED(OLD_CURSORS);
		old_blame = ASKED(OLD_BLAME);
		old_claimants = ASKED(OLD_CLAIMANTS);
		old_parts = ASKED(OLD_PARTS);
		old_forget = ASKED(OLD_FORGET);
		no_reaper = ASKED(NO_REAPER);
	};
#else
	skip;	/* so that a trail's steps have the same numbers */
#endif
	d_step {
		insert_row(0);
		if
		:: jobs == 1 || forgets -> row[1].status = GONE
		:: else -> insert_row(1)
		fi;
		disk_claim = (crashes -> next_claim : 0);
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
		if
		:: forgets -> run forgetter()
		:: else -> run application(0)
		fi;
		/* Workers are alike, and so are jobs: of one thing it is enough to have one. */
		if
		:: all_faults > 1 -> run fate(1)
		:: else
		fi;
		if
		:: all_changes > 1 && jobs > 1 && !forgets -> run application(1)
		:: else
		fi;
		run monitor()
	}
	/* Where nothing can happen any more everything is over. */
	timeout;
	assert(IN_EACH_ROW(ended));
	assert(session_lock == NOBODY && IN_EACH_ROW(free))
}

#ifdef LIVENESS
ltl every_job_ends { <> [] (IN_EACH_ROW(ended)) }
#endif
