/** Tests. */
@NullMarked
package io.faithfulsae.study.compare;

import org.jspecify.annotations.NullMarked;
