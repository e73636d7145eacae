/** Tests. */
@NullMarked
package io.faithfulsae.cli;

import org.jspecify.annotations.NullMarked;
