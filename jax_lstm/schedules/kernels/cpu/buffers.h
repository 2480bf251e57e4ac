// The buffers of a call, checked before anything is read. Each may have leading axes, as `jax.vmap` puts them: of the call's own sizes,
// or of size one where all share the buffer.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "xla/ffi/api/c_api.h"

namespace {

const int MOST_LEADING = 16;

struct Array {
  char *data = nullptr;  // null where it was not given
  long strides[MOST_LEADING] = {};
  bool shared = true;  // by all groups
};

// Reads the buffers one by one; the first that does not fit leaves its message, and all that follow are empty.
struct Reader {
  XLA_FFI_CallFrame *frame;
  const char *call;
  char message[256] = "";
  long axes = 0, sizes[MOST_LEADING] = {}, groups = 1;

  bool failed() const { return message[0]; }

  void fail(const char *format, ...) {
    if (failed()) return;
    const int used = snprintf(message, sizeof message, "%s: ", call);
    va_list rest;
    va_start(rest, format);
    vsnprintf(message + used, sizeof message - used, format, rest);
    va_end(rest);
  }

  bool expect(long arguments, long results) {
    if (frame->args.size != arguments || frame->rets.size != results)
      fail("%ld arguments and %ld results, expected %ld and %ld", (long)frame->args.size, (long)frame->rets.size, arguments, results);
    return !failed();
  }

  XLA_FFI_Buffer *buffer(long i, bool result) const {
    return (XLA_FFI_Buffer *)(result ? frame->rets.rets[i] : frame->args.args[i]);
  }

  // The leading axes of the whole call are those of a result of known rank.
  void lead(long i, long rank) {
    const XLA_FFI_Buffer *b = buffer(i, true);
    axes = b->rank - rank;
    if (axes < 0 || axes > MOST_LEADING) return fail("result %ld has %ld axes, expected %ld to %ld", i, (long)b->rank, rank, rank + MOST_LEADING);
    for (long k = 0; k < axes; k++) groups *= sizes[k] = b->dims[k];
  }

  // Of an argument, without the leading axes.
  long rank(long i) const { return buffer(i, false)->rank - axes; }

  long dimension(long i, long rank, long axis) {
    const XLA_FFI_Buffer *b = buffer(i, false);
    if (b->rank != axes + rank) fail("argument %ld has %ld axes, expected %ld", i, (long)b->rank, axes + rank);
    return failed() ? 0 : b->dims[axes + axis];
  }

  // The buffer in a type and shape; where optional, sizes of zero stand for one that was not given.
  Array read(const char *name, long i, bool result, XLA_FFI_DataType type, bool optional, long rank, const long *shape) {
    Array array;
    if (failed()) return array;
    const XLA_FFI_Buffer *b = buffer(i, result);
    if (b->dtype != type) fail("%s has type %d, expected %d", name, (int)b->dtype, (int)type);
    if (b->rank != axes + rank) fail("%s has %ld axes, expected %ld", name, (long)b->rank, axes + rank);
    if (failed()) return array;
    long stride = 1, size = type == XLA_FFI_DataType_PRED ? 1 : type == XLA_FFI_DataType_F64 ? 8 : 4;
    bool absent = optional;
    for (long k = 0; k < rank; k++) absent &= b->dims[axes + k] == 0;
    if (absent) return array;
    for (long k = 0; k < rank; k++) {
      if (b->dims[axes + k] != shape[k]) fail("%s has size %ld in axis %ld, expected %ld", name, (long)b->dims[axes + k], k, shape[k]);
      stride *= shape[k];
    }
    for (long k = axes; k-- > 0; stride *= b->dims[k]) {
      if (b->dims[k] != sizes[k] && (result || b->dims[k] != 1))
        fail("%s has size %ld in leading axis %ld, expected %ld", name, (long)b->dims[k], k, sizes[k]);
      if (b->dims[k] > 1) array.strides[k] = stride * size, array.shared = false;
    }
    if (failed()) return array;
    if (result) in_large_pages(b->data, stride * size);
    array.data = (char *)b->data;
    return array;
  }

  // The part of one group; null where the array was not given.
  template <class T> T *of_group(const Array &array, long group) const {
    if (!array.data) return nullptr;
    long offset = 0;
    for (long k = axes; k-- > 0; group /= sizes[k]) offset += group % sizes[k] * array.strides[k];
    return (T *)(array.data + offset);
  }

  // A number among the attributes.
  double number(const char *name) {
    const XLA_FFI_Attrs &attrs = frame->attrs;
    for (long i = 0; i < attrs.size; i++) {
      if (attrs.names[i]->len != strlen(name) || memcmp(attrs.names[i]->ptr, name, strlen(name)) || attrs.types[i] != XLA_FFI_AttrType_SCALAR) continue;
      const XLA_FFI_Scalar *scalar = (const XLA_FFI_Scalar *)attrs.attrs[i];
      if (scalar->dtype == XLA_FFI_DataType_F64) return *(const double *)scalar->value;
    }
    fail("no 64-bit float attribute %s", name);
    return 0;
  }
  bool flag(const char *name) { return number(name) != 0; }
};

}  // namespace
