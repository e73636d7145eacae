/** Tests. */
@NullMarked
package io.faithfulsae.examples;

import org.jspecify.annotations.NullMarked;
