# results.sh: what gpu-check.sh has found out so far; run.sh, which reads this file, says what the files in OUT are.

planned=() # every stage so far, whether it was run or not
finished=  # they are all

# Goes on with the results in OUT, or in the folder to resume from, if they are of these sources and this kind of GPU.
open_results() {
    local same
    results=$out/results.jsonl
    log=$out/log.txt
    same="{\"run\":\"gpu-check\",\"sources\":\"$sources\",\"gpu\":\"$gpu\"," # the driver may differ
    if [ ! -s "$results" ] && [ -n "$resume" ]; then
        cp "$resume/results.jsonl" "$resume/log.txt" "$out/"
    fi
    if [ -s "$results" ] && [[ $(head -n 1 "$results") != "$same"* ]]; then
        say "the results in $out are of other sources or of another GPU; they are now old-results.jsonl"
        mv "$results" "$out/old-results.jsonl"
    fi
    touch "$results" "$log"
    end_line "$results"
    end_line "$log"
    [ -s "$results" ] || echo "$same\"driver\":\"$driver\"}" >>"$results"
}

record() { # STAGE VERDICT SECONDS
    printf '{"stage":"%s","verdict":"%s","seconds":%d,"date":"%s"}\n' "$1" "$2" "$3" "$(date -u +%FT%TZ)" >>"$results"
}

verdicts() { # STAGE: all it has had
    { grep -F "{\"stage\":\"$1\"," "$results" || true; } | sed 's/.*"verdict":"\([^"]*\)".*/\1/'
}

verdict() { verdicts "$1" | tail -n 1; }

# What a stage printed the last time.
printed() {
    awk -v marker="==== $1 " '/^==== / { on = 0 } index($0, marker) == 1 { on = 1; n = 0 } on { lines[n++] = $0 }
        END { for (i = 0; i < n; i++) print lines[i] }' "$log"
}

# A call that was killed can end in the middle of a line.
end_line() { # FILE
    if [ -s "$1" ] && [ "$(tail -c 1 "$1" | wc -l)" = 0 ]; then
        echo >>"$1"
    fi
}

# Keeps the beginning and the end of what has been printed since this offset.
shorten() { # OFFSET
    if [ $(($(stat -c %s "$log") - $1)) -gt 1000000 ]; then
        { head -c $(($1 + 200000)) "$log"; echo; echo "[...]"; tail -c 500000 "$log"; } >"$log.part"
        mv "$log.part" "$log"
    fi
}

failed() { [[ $(verdict "$1") == FAILED* ]]; }

skip() { # STAGE REASON
    if [ "${planned[*]: -1}" != "$1" ]; then
        planned+=("$1")
    fi
    if [ "$(verdict "$1")" != "SKIPPED: $2" ]; then
        record "$1" "SKIPPED: $2" 0
        say "$1: SKIPPED: $2"
    fi
}

excuse() { # STAGE PATTERN REASON: its failure is the machine's
    if failed "$1" && printed "$1" | grep -qE "$2"; then
        skip "$1" "$3"
    fi
}

# The report on standard output, and in its two places.
report() {
    local name result=passed verdict
    local -A last=()
    [ -n "$finished" ] || result=incomplete
    while IFS=$'\t' read -r name verdict; do
        last[$name]=$verdict
    done < <(sed -n 's/^{"stage":"\([^"]*\)","verdict":"\([^"]*\)".*/\1\t\2/p' "$results")
    {
        echo "sources: $sources"
        echo "gpu: $gpu, driver $driver"
        echo "date: $(date -u +%Y-%m-%d)"
        for name in "${planned[@]}"; do
            verdict=${last[$name]:-}
            case $verdict in
            PASSED | SKIPPED*) echo "$verdict $name" ;;
            FAILED*)
                echo "$verdict $name"
                result=failed
                { printed "$name" | grep -A 4 -F '[X]' | head -n 200; printed "$name" | tail -n 40; } | sed 's/^/    /' || true
                ;;
            *)
                echo "NOT RUN $name"
                [ "$result" = failed ] || result=incomplete
                ;;
            esac
        done
        grep -h -e '^{"id":.*}$' -e '^{"row":.*}$' "$results" || true
        echo "result: $result"
    } >"$out/$file.part"
    mv "$out/$file.part" "$out/$file"
    cp "$out/$file" gpu-check/
    cat "$out/$file"
}

# The rows as a table: microseconds of the launches alone and through the API, percent of the floor.
summary() {
    awk 'function field(name) {
            return match($0, "\"" name "\":\"?[^,\"}]*") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : "-"
        }
        /^\{"id":.*"median_us"/ {
            id = substr(field("id"), 2)
            if (!(id in row)) order[n++] = id
            row[id] = sprintf("%-36s %12s %12s %8s", id, field("median_us"), field("api_us"), field("percent_of_floor"))
        }
        END {
            printf "%-36s %12s %12s %8s\n", "row", "us", "API us", "% floor"
            for (i = 0; i < n; i++) print row[order[i]]
        }' "$results"
}
