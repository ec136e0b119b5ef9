#pragma once

namespace wins::report {

/// The page's style sheet: light and dark, wide and narrow, print.
extern const char* const kStyle;

}  // namespace wins::report
