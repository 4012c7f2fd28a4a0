/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of bench.h to Google Benchmark. The only file in C++. */
#include "bench/bench.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <vector>

struct bench {
    benchmark::State *state;
};

namespace
{

struct wanted {
    std::string name;
    enum bench_clock clock;
    bench_fn fn;
    const void *arg;
};

std::vector<wanted> cases;

/*
 * Progress on stderr: the number of full measurements made so far, out of the total. Shorter measurements, which only
 * find out how often to loop, are not counted.
 */
double min_seconds;
unsigned repetitions;
size_t made;

void print_progress(const std::string &name, double seconds)
{
    const size_t all = cases.size() * repetitions;

    if (seconds >= 0.8 * min_seconds && made < all)
        made++;
    std::fprintf(stderr, "blobseal-bench: %zu/%zu %s\n", made, all, name.c_str());
}

void run_case(benchmark::State &state, const wanted &w)
{
    const auto start = std::chrono::steady_clock::now();
    struct bench b = {&state};

    w.fn(&b, w.arg);
    print_progress(w.name, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

} // namespace

extern "C" void bench_add(enum bench_clock clock, bench_fn fn, const void *arg, const char *name_format, ...)
{
    char name[128];
    va_list ap;

    va_start(ap, name_format);
    std::vsnprintf(name, sizeof name, name_format, ap);
    va_end(ap);
    cases.push_back({name, clock, fn, arg});
}

extern "C" bool bench_next(struct bench *b)
{
    return b->state->KeepRunning();
}

extern "C" void bench_bytes_each(struct bench *b, uint64_t bytes)
{
    b->state->SetBytesProcessed(static_cast<int64_t>(bytes) * b->state->iterations());
}

extern "C" void bench_items_each(struct bench *b, uint64_t items)
{
    b->state->SetItemsProcessed(static_cast<int64_t>(items) * b->state->iterations());
}

extern "C" void bench_figure(struct bench *b, const char *name, double value)
{
    b->state->counters[name] = value;
}

extern "C" void bench_remark(struct bench *b, const char *text)
{
    b->state->SetLabel(text);
}

extern "C" void bench_fail(struct bench *b, const char *why)
{
    b->state->SkipWithError(why);
}

extern "C" void bench_fact(const char *name, const char *value)
{
    benchmark::AddCustomContext(name, value);
}

/* Run the repetitions of all cases in random order, so that a temporary disturbance does not affect one case only. */
extern "C" int bench_run(int argc, char **argv, const struct bench_plan *plan)
{
    std::vector<std::string> words(argv, argv + 1);
    std::vector<char *> args;

    min_seconds = plan->quick ? 0.015 : 0.06;
    repetitions = plan->quick ? 3 : 7;
    words.push_back("--benchmark_min_time=" + std::to_string(min_seconds));
    words.push_back("--benchmark_repetitions=" + std::to_string(repetitions));
    words.push_back("--benchmark_enable_random_interleaving=true");
    words.insert(words.end(), argv + 1, argv + argc); /* after ours, so that they take precedence */
    for (std::string &word : words)
        args.push_back(&word[0]);
    argc = static_cast<int>(args.size());
    args.push_back(nullptr);
    for (const wanted &w : cases) {
        auto *registered =
            benchmark::RegisterBenchmark(w.name.c_str(), [&w](benchmark::State &state) { run_case(state, w); });

        if (w.clock == BENCH_CLOCK_WALL)
            registered->UseRealTime();
    }
    benchmark::Initialize(&argc, args.data());
    if (benchmark::ReportUnrecognizedArguments(argc, args.data()))
        return 2;
    return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
