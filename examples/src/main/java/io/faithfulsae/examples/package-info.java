/** One-file programs of at most 80 lines that use the library's public API. */
@NullMarked
package io.faithfulsae.examples;

import org.jspecify.annotations.NullMarked;
