/** Tests of how synthetic rows are drawn. */
@NullMarked
package io.faithfulsae.synthetic.internal;

import org.jspecify.annotations.NullMarked;
