/** The tests that every backend passes, and the plain reference that they compare with. */
@NullMarked
package io.faithfulsae.conformance;

import org.jspecify.annotations.NullMarked;
