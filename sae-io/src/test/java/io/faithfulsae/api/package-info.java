/** Tests for the modules' public API. */
@NullMarked
package io.faithfulsae.api;

import org.jspecify.annotations.NullMarked;
