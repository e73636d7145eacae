/** How synthetic rows are drawn: which features fire, how strongly, in which directions. */
@NullMarked
package io.faithfulsae.synthetic.internal;

import org.jspecify.annotations.NullMarked;
