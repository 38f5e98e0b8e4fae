# Judges the facts that check-rooms.sh gathers by the table src/ROOMS; prints a line for each fault.
#
# usage: awk -f check-rooms.awk src/ROOMS FACTS
#
# A file is a source with its header, and is called ROOM/BASE: src/control/show.c and show.h beside
# it are control/show.

function say(text) { print text }

function room_of(file) {
	sub(/\/[^\/]*$/, "", file)
	return file
}

function base_of(file) {
	sub(/^.*\//, "", file)
	return file
}

function file_of(path) {
	sub(/^(src|include)\//, "", path)
	sub(/\.[ch]$/, "", path)
	return path
}

function object_name(object) {
	sub(/^obj\//, "", object)
	return object
}

# ---- the table ----

function read_row(row,   word, n, i, key) {
	n = split(row, word, " ")
	if (word[1] == "room") {
		key = word[2]
		if (key in uses)
			say("src/ROOMS has two rows for " key)
		uses[key] = ""
		place[key] = ++nrows
		for (i = 3; i <= n; i++)
			uses[key] = uses[key] " " word[i]
	} else if (word[1] == "library") {
		headers_of[word[2]] = word[3]
		for (i = 4; i <= n; i++)
			users[word[2]] = users[word[2]] " " word[i]
	} else if (word[1] == "made") {
		made[object_name(word[2])] = word[3]
		made_base[base_of(word[2])] = word[3]
	} else if (word[1] == "program") {
		main_of[word[2]] = word[3]
		for (i = 4; i <= n; i++)
			parts[word[2]] = parts[word[2]] " " word[i]
	} else if (word[1] == "never") {
		nevers[++nnevers] = row
	} else {
		say("src/ROOMS has a row that begins with " word[1])
	}
}

# A row goes on in lines that begin with a blank.
function read_table_line(line) {
	sub(/#.*/, "", line)
	if (line ~ /^[ \t]*$/)
		return
	if (line ~ /^[ \t]/) {
		row = row line
		return
	}
	end_table()
	row = line
}

function end_table() {
	if (row != "")
		read_row(row)
	row = ""
}

function uses_of(file) {
	return (file in uses) ? uses[file] : uses[room_of(file)]
}

function who(file) {
	return (file in uses) ? file : room_of(file)
}

# Whether a list has a file, or this one name of it ("": any). :NAME limits an entry to a name.
# row: whose list it is, to know at the end which entries nobody needed.
function list_has(row, list, file, name,   entry, n, i, part) {
	n = split(list, entry, " ")
	for (i = 1; i <= n; i++) {
		split(entry[i], part, ":")
		if ((part[1] == room_of(file) || part[1] == file) &&
		    (entry[i] == part[1] || name == "" || name == part[2])) {
			needed[row, entry[i]] = 1
			return 1
		}
	}
	return 0
}

function may_use(from, to, name) {
	return room_of(from) == room_of(to) || list_has(who(from), uses_of(from), to, name)
}

function allowed_to(from,   list) {
	list = uses_of(from)
	return who(from) " may use" (list == "" ? " no other room" : list)
}

function given_to(library) {
	return ", which the table gives to" users[library]
}

# What the table names must be there: a row that matches nothing allows what nobody checks.
function check_names_in(list, where,   word, n, i, name) {
	n = split(list, word, " ")
	for (i = 1; i <= n; i++) {
		name = word[i]
		sub(/:.*/, "", name)
		if (!(name in room_dir || name in file_there || name in headers_of))
			say("src/ROOMS: " where " names " name \
			    ", and there is no such room or file")
	}
}

# So no rooms form a circle.
function check_order(key,   word, n, i, room) {
	n = split(uses[key], word, " ")
	for (i = 1; i <= n; i++) {
		room = word[i]
		sub(/:.*/, "", room)
		if (!(room in place))
			room = room_of(room)
		if (place[room] > place[key] && room != room_of(key))
			say("src/ROOMS: the row of " key " uses " word[i] ", which stands below it")
	}
}

function check_table(   key, n, i, word, list) {
	for (key in roomless)
		say(key " lies in no room: it belongs into a directory with a row in src/ROOMS")
	for (key in room_dir)
		if (!(key in uses))
			say("src/" key " has no row in src/ROOMS")
	for (key in uses) {
		check_names_in(key, "a row")
		check_names_in(uses[key], "the row of " key)
		check_order(key)
	}
	for (key in users)
		check_names_in(users[key], "the row of " key)
	for (key in main_of)
		check_names_in(main_of[key] parts[key], "the row of " key)
	for (key in made)
		check_names_in(made[key], "the row of " key)
	for (i = 1; i <= nnevers; i++) {
		list = nevers[i]
		sub(/^never /, "", list)
		sub(/ except.*/, "", list)
		sub(/ reach /, " ", list)
		check_names_in(list, "a row that says never")
	}
}

# ---- (a) includes ----

function library_of_header(header,   library) {
	for (library in headers_of)
		if (index(header, headers_of[library]) == 1)
			return library
	return ""
}

function check_theirs(path, line, target,   library) {
	if (room_of(target) in uses || ("include/" target) in path_there)
		say(path ":" line " includes <" target ">, which is ours: it is written \"" \
		    target "\"")
	library = library_of_header(target)
	if (library != "" && !list_has(library, users[library], file_of(path), ""))
		say(path ":" line " includes <" target "> of " library given_to(library))
}

# "x.h" stands beside who includes it, "room/x.h" in include/.
function check_ours(path, line, target,   from, to, beside, does) {
	from = file_of(path)
	to = file_of(target)
	beside = "src/" room_of(from) "/" target
	does = path ":" line " includes \"" target "\""
	if (target !~ /\//) {
		if (!(beside in path_there))
			say(does ", and " beside " does not exist")
	} else if (("src/" target) in path_there) {
		say(does ", which is private to " room_of(to) \
		    (room_of(to) == room_of(from) ? ": it is written \"" base_of(target) "\"" : ""))
	} else if (!may_use(from, to, "")) {
		say(does "; by the table " allowed_to(from))
	}
}

# A public header is wanted by another room, or by a public header that is.
function check_public(   i, again, path, to) {
	for (i = 1; i <= nincludes; i++) {
		to = "include/" inc_target[i]
		if (to in path_there && room_of(file_of(inc_path[i])) != room_of(file_of(to)))
			wanted[to] = 1
	}
	do {
		again = 0
		for (i = 1; i <= nincludes; i++) {
			to = "include/" inc_target[i]
			if (to in path_there && !(to in wanted) && (inc_path[i] in wanted))
				again = wanted[to] = 1
		}
	} while (again)
	for (path in path_there)
		if (path ~ /^include\// && !(path in wanted))
			say(path " is used by no other room: it belongs into src/" \
			    room_of(file_of(path)))
}

function check_includes(   i) {
	for (i = 1; i <= nincludes; i++)
		if (inc_target[i] ~ /(^|\/)\.?\.?\//)
			say(inc_path[i] ":" inc_line[i] " includes " inc_target[i] \
			    ": no name of a header has . or .. in it, or begins with /")
		else if (inc_form[i] == "ours")
			check_ours(inc_path[i], inc_line[i], inc_target[i])
		else
			check_theirs(inc_path[i], inc_line[i], inc_target[i])
	check_public()
}

# ---- (b) symbols ----

function check_symbols(   i, from, name, to) {
	for (i = 1; i <= nneeds; i++) {
		from = need_from[i]
		name = need_name[i]
		if (name in home) {
			to = home[name]
			if (!may_use(from, to, name))
				say("src/" from ".c names " name " of " to "; by the table " \
				    allowed_to(from))
		} else if (name in offered) {
			to = offered[name]
			if (!list_has(to, users[to], from, name))
				say("src/" from ".c names " name " of " to given_to(to))
		}
	}
}

# ---- (c) circles ----

function arrow(from, to, why) {
	if (from == to || (from, to) in reason)
		return
	reason[from, to] = why
	arrows[from] = arrows[from] " " to
}

function draw_arrows(   i, from, to) {
	for (i = 1; i <= nincludes; i++) {
		from = file_of(inc_path[i])
		to = file_of(inc_target[i])
		if (inc_target[i] !~ /\//)
			to = room_of(from) "/" to
		if (inc_form[i] == "ours" && to in file_there)
			arrow(from, to, inc_path[i] " includes \"" inc_target[i] "\"")
	}
	for (i = 1; i <= nneeds; i++)
		if (need_name[i] in home)
			arrow(need_from[i], home[need_name[i]],
			      "src/" need_from[i] ".c names " need_name[i])
}

# The shortest way from a file back to itself, breadth first.
function find_circle(start,   queue, head, tail, at, next_one, n, i, before, way) {
	queue[tail = 1] = start
	for (head = 1; head <= tail; head++) {
		at = queue[head]
		n = split(arrows[at], next_one, " ")
		for (i = 1; i <= n; i++) {
			if (next_one[i] == start) {
				say_circle(start, at, before)
				return
			}
			if (next_one[i] in before)
				continue
			before[next_one[i]] = at
			queue[++tail] = next_one[i]
		}
	}
}

function say_circle(start, last, before,   at, way, why) {
	way = start
	why = "    " reason[last, start]
	for (at = last; at != start; at = before[at]) {
		in_circle[at] = 1
		way = at " -> " way
		why = "    " reason[before[at], at] "\n" why
	}
	in_circle[start] = 1
	say("a circle of files: " start " -> " way)
	say(why)
}

function check_circles(   i) {
	draw_arrows()
	for (i = 1; i <= nfiles; i++)
		if (!(files[i] in in_circle))
			find_circle(files[i])
}

# ---- (e) programs, and what the supervisor never reaches ----

function who_wants(program, file,   i, from) {
	for (i = 1; i <= nneeds; i++) {
		from = need_from[i]
		if (need_name[i] in home && home[need_name[i]] == file && from != file &&
		    ((program, from) in linked || from == main_of[program]))
			return "src/" from ".c names " need_name[i]
	}
	return "nobody in it names anything of it"
}

function check_program(program,   file, i, found) {
	for (i = 1; i <= nlinks; i++) {
		if (link_program[i] != program)
			continue
		found = 1
		file = link_file[i]
		if (!list_has(program, parts[program], file, ""))
			say(program " links " file " (" who_wants(program, file) "), " \
			    "which the table does not give it")
	}
	if (!found)
		say("the map of " program " names no object of ours")
}

function check_programs(   program) {
	for (program in main_of)
		check_program(program)
}

# An entry that nobody needs would allow what nobody means.
function check_needed(row, list,   entry, n, i) {
	n = split(list, entry, " ")
	for (i = 1; i <= n; i++)
		if (!((row, entry[i]) in needed))
			say("src/ROOMS: the row of " row " lists " entry[i] \
			    ", which it does not need")
}

function check_all_needed(   key) {
	for (key in uses)
		check_needed(key, uses[key])
	for (key in users)
		check_needed(key, users[key])
	for (key in parts)
		check_needed(key, parts[key])
}

function set_of(list, set,   word, n, i) {
	n = split(list, word, " ")
	for (i = 1; i <= n; i++)
		set[word[i]] = 1
}

function way_to(file, before) {
	return (before[file] == "" ? "" : way_to(before[file], before) " -> ") file
}

# Follows all that the files of a row name, breadth first.
function check_never(text,   part, from, what, except, queue, head, tail, at, i, name, to, before,
		     said) {
	sub(/^never */, "", text)
	split(text, part, / reach | except /)
	set_of(part[1], from)
	set_of(part[2], what)
	set_of(part[3], except)
	for (i = 1; i <= nfiles; i++)
		if (files[i] in from || room_of(files[i]) in from) {
			before[files[i]] = ""
			queue[++tail] = files[i]
		}
	for (head = 1; head <= tail; head++) {
		at = queue[head]
		for (i = first_need[at]; i <= last_need[at]; i++) {
			name = need_name[i]
			to = (name in home) ? home[name] : (name in offered) ? offered[name] : ""
			if (to == "" || name in except || to in before)
				continue
			if (to in what || (name in home && room_of(to) in what)) {
				if (!((at, name) in said))
					say("src/" at ".c names " name " of " to \
					    ", which it must never reach: " \
					    way_to(at, before) " -> " to)
				said[at, name] = 1
			} else if (name in home) {
				before[to] = at
				queue[++tail] = to
			}
		}
	}
}

# ---- (f) names of files ----

function check_names(   i, file, base) {
	for (i = 1; i <= nfiles; i++) {
		file = files[i]
		base = base_of(file)
		if (base in named && named[base] != file)
			say("two files are called " base ": " named[base] " and " file)
		named[base] = file
		if (("include/" file ".h") in path_there && ("src/" file ".h") in path_there)
			say("two headers are called " file ".h: in include/ and in src/")
	}
}

# ---- reading ----

FNR == NR { read_table_line($0); next }

FNR == 1 { end_table() }

# What lies in no room is named for that alone.
$2 ~ /^(src|include)\/[^\/]*$/ && /^(header|source|include|odd) / {
	roomless[$2] = 1
	next
}

$1 == "header" || $1 == "source" {
	path_there[$2] = 1
	if (!(file_of($2) in file_there))
		files[++nfiles] = file_of($2)
	file_there[file_of($2)] = 1
	room_dir[room_of(file_of($2))] = 1
}

$1 == "include" {
	nincludes++
	inc_path[nincludes] = $2
	inc_line[nincludes] = $3
	inc_form[nincludes] = $4
	inc_target[nincludes] = $5
}

$1 == "odd" {
	line = $0
	sub(/^odd [^ ]* [^ ]* /, "", line)
	say($2 ":" $3 " has " line ": an include is #include \"NAME\" or #include <NAME>, " \
	    "from the line's first column to its last")
}

function object_file(object) { return (object in made) ? made[object] : object }

$1 == "has" && $3 != "main" {
	if ($3 in home)
		say($3 " has two homes: " home[$3] " and " object_file($2))
	home[$3] = object_file($2)
}

$1 == "needs" {
	nneeds++
	need_from[nneeds] = object_file($2)
	need_name[nneeds] = $3
	if (!(need_from[nneeds] in first_need))
		first_need[need_from[nneeds]] = nneeds
	last_need[need_from[nneeds]] = nneeds
}

$1 == "offers" { offered[$3] = $2; has_offers[$2] = 1 }

$1 == "links" { link_program[++nlinks] = $2; link_base[nlinks] = $3 }

# The map has an object without its room.
function resolve_links(   i, base, by_base) {
	for (i = 1; i <= nfiles; i++)
		by_base[base_of(files[i])] = files[i]
	for (i = 1; i <= nlinks; i++) {
		base = link_base[i]
		link_file[i] = (base in made_base) ? made_base[base] : by_base[base]
		linked[link_program[i], link_file[i]] = 1
	}
}

END {
	if (nincludes == 0 || nneeds == 0 || length_of(home) == 0)
		say("sources or objects name nothing")
	for (library in headers_of)
		if (!(library in has_offers))
			say("the symbols of " library " could not be read")
	resolve_links()
	check_table()
	check_names()
	check_includes()
	check_symbols()
	check_circles()
	check_programs()
	check_all_needed()
	for (i = 1; i <= nnevers; i++)
		check_never(nevers[i])
}

function length_of(array,   key, n) {
	n = 0
	for (key in array)
		n++
	return n
}
