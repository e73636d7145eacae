/** Tests for shared device memory and streams. */
@NullMarked
package io.faithfulsae.interop;

import org.jspecify.annotations.NullMarked;
