/** Tests of how synthetic rows are drawn. */
@NullMarked
package io.faithfulsae.internal.synthetic;

import org.jspecify.annotations.NullMarked;
