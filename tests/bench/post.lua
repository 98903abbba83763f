-- wrk: the same POST again and again; any answer but 200 is counted by wrk itself.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["Content-Type"] = "application/json"
