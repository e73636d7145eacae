/** Tests. */
@NullMarked
package io.faithfulsae.study;

import org.jspecify.annotations.NullMarked;
