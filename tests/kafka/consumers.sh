#!/usr/bin/env bash
# Builds the consumers of docs/consumers and holds all three against one story on a real Kafka.
# usage: consumers.sh [--brokers B]     without --brokers it starts a Kafka of its own and stops it again
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
consumers=$(cd "$here/../../docs/consumers" && pwd)
brokers=''
case ${1:-} in
  '') ;;
  --brokers) brokers=${2:?--brokers needs a value} ;;
  *) sed -n '3s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

for tool in python3 java mvn go; do
  command -v "$tool" >/dev/null || { echo "consumers.sh: $tool is missing, so the consumers cannot be tested" >&2; exit 1; }
done

venv=$here/target/venv
if ! [[ -x $venv/bin/python ]]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$consumers/python/requirements.txt"
mvn -q -B -Dstyle.color=never -f "$consumers/java/pom.xml" package
unformatted=$(gofmt -l "$consumers/go")
[[ -z $unformatted ]] || { echo "consumers.sh: gofmt would change $unformatted" >&2; exit 1; }
(cd "$consumers/go" && go vet ./... && go build -o "$here/target/consumer-go" .)

if [[ -z $brokers ]]; then
  port=${KAFKA_PORT:-39292}
  trap '"$here/kafka.sh" stop --port "$port"' EXIT
  brokers=$("$here/kafka.sh" start --port "$port")
fi
"$venv/bin/python" "$here/consumers.py" "$brokers" \
  python "$venv/bin/python $consumers/python/consumer.py" \
  java "java -cp $consumers/java/target/consumer.jar:$consumers/java/target/libs/* tocsin.Consumer" \
  go "$here/target/consumer-go"
