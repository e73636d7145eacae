/* text.h: strings that cross the boundary: "key=value;..." options in, a line of text or JSON out. */
#ifndef SAE_TEXT_H
#define SAE_TEXT_H

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "guard.h"

namespace sae {

/* "a=1;b=2" -> {{"a", "1"}, {"b", "2"}}; empty parts are skipped, a part without '=' is refused. */
inline std::vector<std::pair<std::string, std::string>> parse_options(const char *text) {
    std::vector<std::pair<std::string, std::string>> pairs;
    std::string_view rest = text == nullptr ? "" : text;
    while (!rest.empty()) {
        const size_t end = rest.find(';');
        const std::string_view part = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (part.empty()) {
            continue;
        }
        const size_t equals = part.find('=');
        require(equals != std::string_view::npos && equals > 0, "options as key=value joined by ';'",
                std::string(part));
        pairs.emplace_back(part.substr(0, equals), part.substr(equals + 1));
    }
    return pairs;
}

inline int64_t parse_integer(const std::string &key, const std::string &value, int64_t least, int64_t most) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    const std::string expected =
        "option " + key + " to be an integer in [" + std::to_string(least) + ", " + std::to_string(most) + "]";
    require(whole && number >= least && number <= most, expected.c_str(), value);
    return number;
}

inline void copy_text(const std::string &from, char *text, int64_t capacity) {
    require(text != nullptr, "a place for the text", "null");
    require(capacity > static_cast<int64_t>(from.size()), "room for the text",
            std::to_string(capacity) + " bytes for " + std::to_string(from.size() + 1));
    std::memcpy(text, from.c_str(), from.size() + 1);
}

inline std::string json_string(const std::string &text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            quoted += escape;
        } else {
            quoted += c;
        }
    }
    return quoted + "\"";
}

} // namespace sae
#endif
