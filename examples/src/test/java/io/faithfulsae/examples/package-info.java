/** Tests of the examples. */
@NullMarked
package io.faithfulsae.examples;

import org.jspecify.annotations.NullMarked;
