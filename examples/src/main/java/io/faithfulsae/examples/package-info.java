/** One main class for each promise of the README. */
@NullMarked
package io.faithfulsae.examples;

import org.jspecify.annotations.NullMarked;
