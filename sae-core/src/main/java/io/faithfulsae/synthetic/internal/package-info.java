/** How synthetic rows are drawn: who fires, how strongly, in which directions. */
@NullMarked
package io.faithfulsae.synthetic.internal;

import org.jspecify.annotations.NullMarked;
