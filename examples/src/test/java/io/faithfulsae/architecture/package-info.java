/** Tests of how modules and packages depend on each other. */
@NullMarked
package io.faithfulsae.architecture;

import org.jspecify.annotations.NullMarked;
