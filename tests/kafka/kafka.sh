#!/usr/bin/env bash
# A real Apache Kafka for tests: fetched as jars with Maven, run on loopback, its data in a temporary folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=$here/libs
# Quick to start and small rather than fast at length.
jvm=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true
  -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$libs/*")

usage() {
  cat <<'END'
usage: kafka.sh start  [--brokers 1|3] [--port P] [--dir D]   start (or find) a cluster, wait until it serves, print its bootstrap address
       kafka.sh wait   [--port P] [--dir D]                   wait until a cluster that is starting serves, print its bootstrap address
       kafka.sh status [--port P] [--dir D]                   print one line for each broker; exit 0 if all run, 3 if none, 1 if some
       kafka.sh stop   [--port P] [--dir D]                   stop every broker and delete the data
       kafka.sh kill   [--port P] [--dir D] N                 kill broker N (1 to 3) as by a loss of power; its data stays
       kafka.sh revive [--port P] [--dir D] N                 start broker N again on its data, wait until it serves
       kafka.sh pause  [--port P] [--dir D] N                 let broker N hang: it keeps its connections and answers nothing
       kafka.sh resume [--port P] [--dir D] N                 let it go on
       kafka.sh topic  [--port P] [--dir D] NAME PARTITIONS [key=value …]   create a topic, replicated as the cluster is
       kafka.sh fetch                                         only fetch the jars

  --brokers  1 (default) or 3; topics of a cluster of 3 are replicated 3 times, 2 in sync
  --port     of the first broker (default 29092); the others follow it, the controllers are 10 above
  --dir      where data, logs and process ids are kept until `stop` (default: a folder in the temporary folder, named after the port)

Standard output carries the address alone. Starting twice is harmless. KAFKA_HEAP sets each broker's heap (default 512m).
END
}

say() { echo "kafka.sh: $*" >&2; }
die() { say "$*"; exit 1; }

brokers=1 port=29092 dir='' operands=() command=${1:-}
case $command in
  start | wait | status | stop | kill | revive | pause | resume | topic | fetch) shift ;;
  -h | --help | help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
while (($#)); do
  case $1 in
    --brokers | --port | --dir) (($# >= 2)) || die "$1 needs a value" ;;
    *)
      [[ $command =~ ^(topic|kill|revive|pause|resume)$ && $1 != -* ]] || { usage >&2; die "unknown argument: $1"; }
      operands+=("$1")
      shift
      continue
      ;;
  esac
  case $1 in
    --brokers) brokers=$2 ;;
    --port) port=$2 ;;
    --dir) dir=$2 ;;
  esac
  shift 2
done
[[ $brokers == 1 || $brokers == 3 ]] || die "--brokers is 1 or 3, not $brokers"
[[ $port =~ ^[1-9][0-9]{3,4}$ ]] && ((port >= 1024 && port <= 65500)) || die "--port is a number from 1024 to 65500, not $port"
dir=${dir:-${TMPDIR:-/tmp}/tocsin-kafka-$port}

# ---- the jars --------------------------------------------------------------------------------------------------------

need() { # command, what it is, Debian's package
  command -v "$1" >/dev/null || die "$2 is missing: \`$1\` was not found. A real Kafka needs it (Debian: apt-get install $3)."
}

fetch() {
  need java 'Java 17 or newer' default-jdk-headless
  local version
  version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  [[ -n $version ]] && ((version >= 17)) || die "Kafka 4 needs Java 17 or newer; \`java\` here is version ${version:-unknown}."
  local want
  want=$(sha256sum <"$here/pom.xml")
  [[ -f $libs/complete && $(<"$libs/complete") == "$want" ]] && return
  need mvn 'Maven, which fetches the jars,' maven
  # One at a time; the second finds what the first has fetched.
  exec 8<"$here/pom.xml"
  flock 8
  [[ -f $libs/complete && $(<"$libs/complete") == "$want" ]] && return
  say 'fetching the jars with Maven (about 45 MB, once)'
  # Elsewhere and then moved, so that a fetch that was cut off leaves nothing that looks whole.
  local fresh
  mkdir -p "$here/target"
  fresh=$(mktemp -d "$here/target/libs.XXXXXX")
  if ! mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fresh" >&2; then
    rm -rf "$fresh"
    die 'Maven could not fetch the jars; what it said is above.'
  fi
  echo "$want" >"$fresh/complete"
  rm -rf "$libs"
  mv "$fresh" "$libs"
  exec 8<&-
}

# ---- the cluster -----------------------------------------------------------------------------------------------------

nodes() { # ids of the brokers that were configured in $dir
  [[ -f $dir/brokers ]] && seq 1 "$(<"$dir/brokers")"
  return 0
}

bootstrap() { # of the brokers configured in $dir
  local first list=''
  first=$(<"$dir/port")
  for n in $(nodes); do list+=${list:+,}127.0.0.1:$((first + n - 1)); done
  echo "$list"
}

runs() { # does broker $1 run? A recycled process id does not count: its command line must name our file.
  local pid
  pid=$(cat "$dir/node-$1/pid" 2>/dev/null) && [[ -n $pid ]] &&
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$dir/node-$1/server.properties"
}

serves() { # has broker $1 said that it started, and does it listen?
  grep -q 'Kafka Server started' "$dir/node-$1/log" 2>/dev/null && listens $(($(<"$dir/port") + $1 - 1))
}

listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

frees() { # port $1: one that was killed a moment ago may still hold it
  local n
  for n in $(seq 1 100); do
    listens "$1" || return 0
    sleep 0.1
  done
  return 1
}

configure() { # broker $1
  local node=$dir/node-$1 voters='' replicas=$((brokers == 1 ? 1 : 3)) insync=$((brokers == 1 ? 1 : 2))
  for n in $(seq 1 "$brokers"); do voters+=${voters:+,}$n@127.0.0.1:$((port + 9 + n)); done
  mkdir -p "$node"
  cat >"$node/server.properties" <<END
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$((port + $1 - 1)),CONTROLLER://127.0.0.1:$((port + 9 + $1))
advertised.listeners=PLAINTEXT://127.0.0.1:$((port + $1 - 1))
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$node/data
default.replication.factor=$replicas
min.insync.replicas=$insync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$insync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$insync
share.coordinator.state.topic.num.partitions=4
# A group is ready at once, and a session may be as short as the tests want it.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A test names the topics it means; one that is misspelt should fail.
auto.create.topics.enable=false
# Compaction and deletion must be seen within a test, not within minutes.
log.cleaner.backoff.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
END
}

launch() { # broker $1: detached, without our standard streams or lock
  local node=$dir/node-$1
  : >"$node/log"
  (
    exec 9>&- </dev/null >>"$node/log" 2>&1
    # The command line is java's own, so that `runs` finds the file in it.
    exec setsid java -Xms128m -Xmx"${KAFKA_HEAP:-512m}" "${jvm[@]}" kafka.Kafka "$node/server.properties"
  ) &
  local pid=$! i
  disown
  echo "$pid" >"$node/pid"
  # On a busy machine it takes a while until the process is the one that `runs` knows.
  for ((i = 0; i < 200; i++)); do
    if runs "$1" || ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.05
  done
}

wait_for() { # until broker $1 serves; 90 s is twenty times what it takes
  local deadline=$((SECONDS + 90))
  until serves "$1"; do
    if ! runs "$1"; then
      say "broker $1 ended; the last of its log ($dir/node-$1/log):"
      tail -n 30 "$dir/node-$1/log" >&2
      return 1
    fi
    if ((SECONDS >= deadline)); then
      say "broker $1 did not serve within 90 s; its log is $dir/node-$1/log"
      return 1
    fi
    sleep 0.2
  done
}

wait_all() {
  local n
  for n in $(nodes); do wait_for "$n"; done
}

stop_all() {
  local n pids=()
  for n in $(nodes); do
    runs "$n" && pids+=("$(<"$dir/node-$n/pid")")
  done
  # Nothing of this cluster is kept, so there is no reason to wait for a controlled shutdown of a quorum.
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
  for n in $(nodes); do
    while runs "$n"; do sleep 0.1; done
  done
  # Only what this script made: a folder that holds something else is left where it is.
  rm -rf "$dir"/node-[1-3]
  rm -f "$dir/brokers" "$dir/port"
}

tidy() { # the folder and the lock, unless a cluster lives there
  [[ -f $dir/brokers ]] && return
  rm -rf "$dir"/node-[1-3]
  rmdir "$dir" 2>/dev/null || say "$dir holds other files and is left"
  rm -f "$dir.lock"
}

start() {
  if [[ -f $dir/brokers ]]; then
    local n all=1
    for n in $(nodes); do runs "$n" || all=0; done
    if ((all)) && [[ $(<"$dir/brokers") == "$brokers" && $(<"$dir/port") == "$port" ]]; then
      wait_all
      return
    fi
    say 'what ran here before is stopped first: some brokers had ended, or another number or port was asked for'
    stop_all
  fi
  # Whatever goes wrong from here on leaves nothing behind but what was said.
  trap tidy EXIT
  fetch
  local n formats=()
  for n in $(seq 1 "$brokers"); do
    frees $((port + n - 1)) || die "port $((port + n - 1)) is taken by another program; choose one with --port"
    frees $((port + 9 + n)) || die "port $((port + 9 + n)) is taken by another program; choose one with --port"
    configure "$n"
  done
  for n in $(seq 1 "$brokers"); do
    # The id is that of the cluster: any 16 bytes, the same for all.
    java -Xmx256m "${jvm[@]}" kafka.tools.StorageTool format -t dG9jc2luLXRlc3RzLTAwMQ -c "$dir/node-$n/server.properties" \
      9>&- >"$dir/node-$n/format.log" 2>&1 &
    formats+=($!)
  done
  for n in "${!formats[@]}"; do
    wait "${formats[$n]}" || { cat "$dir/node-$((n + 1))/format.log" >&2; die 'the storage could not be formatted'; }
  done
  echo "$port" >"$dir/port"
  echo "$brokers" >"$dir/brokers"
  for n in $(seq 1 "$brokers"); do launch "$n"; done
  wait_all || { stop_all; die 'Kafka did not start'; }
}

# ---- the commands ----------------------------------------------------------------------------------------------------

locked() { # one command at a time for one folder, so that two tests may both say `start`
  need flock 'the program flock' util-linux
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  while :; do
    exec 9>"$dir.lock"
    flock -w 180 9 || die "another kafka.sh has held $dir for three minutes"
    # `stop` deletes the lock: what we hold must still be the file of that name.
    [[ $(stat -Lc %i "/proc/$$/fd/9") == "$(stat -c %i "$dir.lock" 2>/dev/null)" ]] && break
  done
  mkdir -p "$dir"
}

case $command in
  fetch)
    fetch
    ;;
  topic)
    ((${#operands[@]} >= 2)) || die 'topic needs a name and a number of partitions'
    [[ -f $dir/brokers ]] || die "no cluster was started in $dir"
    java "${jvm[@]}" "$here/Topic.java" "$(bootstrap)" "${operands[@]}"
    ;;
  start)
    locked
    start
    bootstrap
    ;;
  kill | revive | pause | resume)
    ((${#operands[@]} == 1)) || die "$command needs the number of a broker"
    [[ -f $dir/brokers ]] || die "no cluster was started in $dir"
    dir=$(cd "$dir" && pwd)
    node=${operands[0]}
    grep -qxF -- "$node" <(nodes) || die "there is no broker $node, only $(nodes | tr '\n' ' ')"
    [[ $command == revive ]] || runs "$node" || die "broker $node does not run"
    case $command in
      kill)
        kill -KILL "$(<"$dir/node-$node/pid")"
        while runs "$node"; do sleep 0.05; done
        ;;
      revive)
        runs "$node" || launch "$node"
        wait_for "$node"
        ;;
      pause) kill -STOP "$(<"$dir/node-$node/pid")" ;;
      resume) kill -CONT "$(<"$dir/node-$node/pid")" ;;
    esac
    ;;
  wait)
    [[ -f $dir/brokers ]] || die "no cluster was started in $dir"
    dir=$(cd "$dir" && pwd)
    wait_all
    bootstrap
    ;;
  status)
    [[ -f $dir/brokers ]] || { say "no cluster in $dir"; exit 3; }
    dir=$(cd "$dir" && pwd)
    up=0
    for n in $(nodes); do
      if runs "$n" && serves "$n"; then
        echo "broker $n serves on 127.0.0.1:$(($(<"$dir/port") + n - 1)), process $(<"$dir/node-$n/pid")"
        up=$((up + 1))
      elif runs "$n"; then
        echo "broker $n is starting, process $(<"$dir/node-$n/pid")"
      else
        echo "broker $n has ended; its log is $dir/node-$n/log"
      fi
    done
    ((up == $(<"$dir/brokers"))) && exit 0
    ((up == 0)) && exit 3
    exit 1
    ;;
  stop)
    [[ -d $dir ]] || { say "nothing runs in $dir"; exit 0; }
    locked
    stop_all
    tidy
    ;;
esac
