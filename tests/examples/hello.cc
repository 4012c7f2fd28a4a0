// SPDX-License-Identifier: Apache-2.0
// Sealing and opening a string in C++: hello KEY.pem
#include <blobseal.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

struct Closer {
    void operator()(blobseal_kek *kek) const { blobseal_kek_close(kek); }
    void operator()(blobseal_reader *reader) const { blobseal_reader_close(reader); }
};
using Kek = std::unique_ptr<blobseal_kek, Closer>;
using Reader = std::unique_ptr<blobseal_reader, Closer>;

// No exception may pass through the library, so callbacks return a status. A status that the library returns is thrown.
void check(blobseal_status status, const blobseal_error &err)
{
    if (status != BLOBSEAL_OK)
        throw std::runtime_error(std::string(err.text) + " (" + blobseal_status_code(status) + ")");
}

blobseal_status append(void *ctx, const void *buf, size_t len, blobseal_error *) noexcept
{
    try {
        static_cast<std::string *>(ctx)->append(static_cast<const char *>(buf), len);
    } catch (...) {
        return BLOBSEAL_E_NOMEM;
    }
    return BLOBSEAL_OK;
}

blobseal_sink sink_to(std::string &text)
{
    blobseal_sink sink{};
    sink.ctx = &text;
    sink.name = "a string";
    sink.write = append;
    return sink;
}

Kek open_key(const char *path)
{
    blobseal_kek *kek;
    blobseal_error err;
    check(blobseal_kek_open(&kek, nullptr, path, nullptr, &err), err);
    return Kek(kek);
}

std::string seal(const Kek &kek, const std::string &text)
{
    blobseal_memory state;
    blobseal_source source;
    blobseal_error err;
    std::string sealed;
    const blobseal_sink sink = sink_to(sealed);
    blobseal_kek *const keks[] = {kek.get()};

    blobseal_source_memory(&source, &state, text.data(), text.size());
    check(blobseal_seal(&sink, &source, keks, 1, nullptr, nullptr, &err), err);
    return sealed;
}

std::string open(const Kek &kek, const std::string &sealed)
{
    blobseal_memory state;
    blobseal_source source;
    blobseal_error err;
    blobseal_reader *reader;
    std::string text;
    const blobseal_sink sink = sink_to(text);
    blobseal_kek *const keks[] = {kek.get()};

    blobseal_source_memory(&source, &state, sealed.data(), sealed.size());
    check(blobseal_reader_open(&reader, &source, keks, 1, nullptr, &err), err);
    const Reader owner(reader);
    check(blobseal_reader_stream(reader, &sink, nullptr, &err), err);
    return text;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        const Kek kek = open_key(argc > 1 ? argv[1] : "kek.pem");
        std::cout << open(kek, seal(kek, "hello from C++")) << "\n";
    } catch (const std::exception &e) {
        std::cerr << e.what() << "\n";
        return 1;
    }
}
