-- wrk: the same POST again and again, or a random one of the bodies in a file, one a line; any
-- answer but 200 is counted by wrk itself. What it ends with is read by the benchmark.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["Content-Type"] = "application/json"

local file = os.getenv("BENCH_BODIES")
if file then
  local requests = {}
  for line in io.lines(file) do
    requests[#requests + 1] = line
  end
  math.randomseed(7)
  request = function()
    return wrk.format(nil, nil, nil, requests[math.random(#requests)])
  end
end

done = function(summary, latency, requests)
  io.write(string.format("p50_us %d p99_us %d\n", latency:percentile(50), latency:percentile(99)))
end
