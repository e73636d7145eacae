/** Tests of the dependencies between modules and packages. */
@NullMarked
package io.faithfulsae.architecture;

import org.jspecify.annotations.NullMarked;
