#!/usr/bin/env python3
"""Runs the services of docker-compose.yml by hand, without Docker: their commands, settings and health checks as they stand.

usage: verify_compose.py TOCSIN [SECONDS]      (as root, with python3-yaml, java, maven and prometheus; TOCSIN is the binary)

In a network of its own, where every service's name is the loopback: Kafka from its jars with the properties that its image
makes of KAFKA_*, tocsin, the history and the simulator with their commands and mounts as the image's user, Prometheus with its config,
and every query of the dashboard against it. Not run: Grafana, and the health check of Kafka, which are in their images alone.
"""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent
# Where the image keeps what it writes.
STATE = pathlib.Path("/var/lib/tocsin")
# Variables of the Kafka image that are for its start script and not for server.properties.
NOT_PROPERTIES = {"KAFKA_HEAP_OPTS"}


def isolate():
    """Starts this script again where no port is taken and every service's name is the loopback."""
    if os.environ.get("TOCSIN_ISOLATED"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        # In place of the volume; the mount is seen by nobody else and ends with us.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"], check=True)
        STATE.mkdir()
        return
    subprocess.run([REPO / "tests/kafka/kafka.sh", "fetch"], check=True)
    hosts = tempfile.NamedTemporaryFile("w", delete=False, prefix="hosts-")
    hosts.write(f"127.0.0.1 localhost kafka tocsin {socket.gethostname()}\n")
    hosts.close()
    os.chmod(hosts.name, 0o644)
    again = 'mount --bind "$0" /etc/hosts && rm -f "$0" && exec "$@"'
    os.environ["TOCSIN_ISOLATED"] = "1"
    command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", again, hosts.name, sys.executable, *sys.argv]
    os.execvp(command[0], command)


class Service:
    """One process, its output in a file."""

    def __init__(self, name, command, folder, **how):
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)

    def until(self, ready, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() not in (None, 0) or time.monotonic() > deadline:
                sys.exit(f"{self.name}: {what} did not happen; the end of its log:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.3)
        print(f"{self.name}: {what}", flush=True)

    def stop(self, seconds=30):
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def kafka(spec, folder):
    environment = spec["environment"]
    properties = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value
        for key, value in environment.items()
        if key.startswith("KAFKA_") and key not in NOT_PROPERTIES
    }
    properties["log.dirs"] = folder / "kafka"
    file = folder / "server.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    tests = REPO / "tests/kafka"
    java = ["java", *environment["KAFKA_HEAP_OPTS"].split(), f"-Dlog4j2.configurationFile={tests}/log4j2.properties"]
    java += ["-cp", f"{tests}/libs/*"]
    subprocess.run([*java, "kafka.tools.StorageTool", "format", "-t", environment["CLUSTER_ID"], "-c", file], check=True)
    service = Service("kafka", [*java, "kafka.Kafka", file], folder)
    service.until(lambda: "Kafka Server started" in service.log.read_text(), "serves")
    return service


def as_user(user, folder):
    """As the image's user, in a writable folder of its own."""
    os.chown(folder, user, user)
    return {"user": user, "group": user, "extra_groups": [], "cwd": folder, "env": {"PATH": os.environ["PATH"], "HOME": str(folder)}}


def health_of_image():
    """The command after HEALTHCHECK in the Dockerfile."""
    text = (REPO / "Dockerfile").read_text().replace("\\\n", " ")
    line = next(line for line in text.splitlines() if line.startswith("HEALTHCHECK"))
    return yaml.safe_load(line.split(" CMD ", 1)[1])


def mounted(argument, spec):
    """An argument with the container's paths of the service's mounts replaced by this machine's."""
    for volume in spec.get("volumes", []):
        source, target = volume.split(":")[:2]
        if source.startswith("./"):
            argument = argument.replace(target, str((REPO / source).resolve()))
    return argument


def main():
    isolate()
    binary, seconds = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    services = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]
    running = []
    with tempfile.TemporaryDirectory(prefix="tocsin-compose-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        try:
            running.append(kafka(services["kafka"], folder))
            for each in ["tocsin", "history", "simulator"]:
                home = STATE if each == "tocsin" else folder / each
                home.mkdir(exist_ok=True)
                command = [binary, *(mounted(word, services[each]) for word in services[each]["command"])]
                service = Service(each, command, folder, **as_user(10001, home))
                if each == "history":
                    service.until(lambda: service.process.poll() == 0, "has ended well", 300)
                    continue
                running.append(service)
                if each == "tocsin":
                    check = health_of_image()
                    service.until(lambda: subprocess.run(check, stderr=subprocess.DEVNULL).returncode == 0, "is healthy")
            config = mounted("--config.file=/etc/prometheus/prometheus.yml", services["prometheus"])
            subprocess.run(["promtool", "check", "config", config.split("=", 1)[1]], check=True)
            target = yaml.safe_load(pathlib.Path(config.split("=", 1)[1]).read_text())["scrape_configs"][0]["static_configs"][0]["targets"][0]
            queries = [sys.executable, HERE / "verify_dashboards.py", "--scrape", target, "sleep", str(seconds)]
            status = subprocess.run(queries).returncode
            # As `docker compose exec tocsin tocsin incidents` would.
            subprocess.run([binary, "incidents", "--all"], cwd=STATE)
            for service in running[1:]:
                if service.process.poll() not in (None, 0):
                    sys.exit(f"{service.name} ended with {service.process.poll()}:\n{service.log.read_text()[-3000:]}")
            if (ended := running[1].stop()) != 0:
                sys.exit(f"tocsin ended with {ended} on SIGTERM:\n{running[1].log.read_text()[-3000:]}")
        finally:
            for service in reversed(running):
                service.stop()
    print("the services of docker-compose.yml ran by hand" if status == 0 else "they ran, but the dashboard has faults")
    return status


if __name__ == "__main__":
    sys.exit(main())
