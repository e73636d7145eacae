/** Tests against files that other programs wrote. */
@NullMarked
package io.faithfulsae.golden;

import org.jspecify.annotations.NullMarked;
