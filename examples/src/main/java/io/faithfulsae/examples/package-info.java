/** Programs of one file each, at most 80 lines, that use the library as a stranger would. */
@NullMarked
package io.faithfulsae.examples;

import org.jspecify.annotations.NullMarked;
