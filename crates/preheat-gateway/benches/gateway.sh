#!/usr/bin/env bash
# Compares the gateway with nginx and HAProxy on loopback: latency at 5,000 requests a second
# (open loop), and the most that wrk gets through. Ends only what it started.
#
#   benches/gateway.sh [SECS] [RATE]
set -euo pipefail
cd "$(dirname "$0")/.."
secs=${1:-10}
rate=${2:-5000}
connections=64
work=$(mktemp -d)
started=()
cleanup() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

cargo build --release --quiet -p preheat-gateway --example gateway_bench
bench=${CARGO_TARGET_DIR:-../../target}/release/examples/gateway_bench

lines() { # FILE COUNT: waits until FILE has COUNT lines
    for _ in $(seq 100); do
        [ "$(wc -l <"$1")" -ge "$2" ] && return
        sleep 0.05
    done
    echo "nothing started" >&2
    return 1
}
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

touch "$work/stubs" "$work/gateway"
"$bench" stubs 2 >"$work/stubs" &
started+=($!)
lines "$work/stubs" 2
mapfile -t stub <"$work/stubs"

"$bench" gateway "${stub[@]}" >"$work/gateway" &
started+=($!)
lines "$work/gateway" 1

nginx_port=$(free_port)
cat >"$work/nginx.conf" <<CONF
daemon off;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $work;
    proxy_temp_path $work;
    fastcgi_temp_path $work;
    uwsgi_temp_path $work;
    scgi_temp_path $work;
    keepalive_requests 100000000;
    upstream engines {
        least_conn;
        server ${stub[0]};
        server ${stub[1]};
        keepalive 256;
        keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:$nginx_port;
        location / {
            proxy_pass http://engines;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }
    }
}
CONF
nginx -c "$work/nginx.conf" -e "$work/nginx.log" &
started+=($!)

haproxy_port=$(free_port)
cat >"$work/haproxy.cfg" <<CONF
global
    nbthread 2
    maxconn 4096
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    http-reuse always
listen engines
    bind 127.0.0.1:$haproxy_port
    balance leastconn
    server one ${stub[0]} pool-max-conn 256
    server two ${stub[1]} pool-max-conn 256
CONF
haproxy -f "$work/haproxy.cfg" -db &
started+=($!)

cat >"$work/post.lua" <<'LUA'
wrk.method = "POST"
wrk.body = '{"model":"bench","prompt":"Say hello to the world.","max_tokens":16}'
wrk.headers["content-type"] = "application/json"
LUA

names=(direct gateway nginx haproxy)
addresses=("${stub[0]}" "$(cat "$work/gateway")" "127.0.0.1:$nginx_port" "127.0.0.1:$haproxy_port")
for address in "${addresses[@]}"; do
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/${address%:*}/${address#*:}") 2>/dev/null && break
        sleep 0.05
    done
done
# Work done by each process, to tell its own cost from that of what it shares the machine with.
ticks() { for pid in "$@"; do awk '{print $14 + $15}' "/proc/$pid/stat" 2>/dev/null; done | awk '{s += $1} END {print s + 0}'; }
pids_of() {
    case $1 in
    direct) echo "${started[0]}" ;;
    gateway) echo "${started[1]}" ;;
    nginx) echo "${started[2]}" "$(pgrep -P "${started[2]}" | tr '\n' ' ')" ;;
    haproxy) echo "${started[3]}" ;;
    esac
}

cpu_us() { # TICKS REQUESTS
    awk -v t="$1" -v n="$2" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.1f", t / hz / n * 1e6}'
}
# In turns, so that whatever else the machine does falls on all alike.
rounds=3
each=$(((secs + rounds - 1) / rounds))

echo "== open loop, $rate req/s on $connections connections, $rounds rounds of $each s each"
for _ in $(seq "$rounds"); do
    for i in "${!names[@]}"; do
        "$bench" load "${addresses[$i]}" "$rate" 1 "$connections" warm >/dev/null
        "$bench" load "${addresses[$i]}" "$rate" "$each" "$connections" "${names[$i]}"
    done
done
echo "== wrk, closed loop, $connections connections, $rounds rounds of $each s each"
for _ in $(seq "$rounds"); do
    for i in "${!names[@]}"; do
        # shellcheck disable=SC2046
        before=$(ticks $(pids_of "${names[$i]}"))
        wrk -t1 "-c$connections" "-d${each}s" --latency -s "$work/post.lua" \
            "http://${addresses[$i]}/v1/completions" >"$work/wrk"
        # shellcheck disable=SC2046
        after=$(ticks $(pids_of "${names[$i]}"))
        requests=$(awk '/requests in/ {print $1}' "$work/wrk")
        awk -v name="${names[$i]}" -v cpu="$(cpu_us $((after - before)) "$requests")" \
            '/50%|99%/ {q = q " " $1 " " $2} /Requests\/sec/ {r = $2}
             /Non-2xx|Socket errors/ {e = e " " $0}
             END {printf "%8s: %.0f req/s, %s us of its own CPU a request, %s%s\n", name, r, cpu, q, e}' "$work/wrk"
    done
done
