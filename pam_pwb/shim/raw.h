/*
 * raw.h - system calls without libc, for code that runs on borrowed thread-local storage (spawn.c). Results are the
 * kernel's: a value, or a negative errno.
 */
#ifndef PWB_RAW_H
#define PWB_RAW_H

#include <sys/syscall.h>

#if defined(__x86_64__)

static inline long
raw(long n, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return ret;
}

/* raw_clone runs fn(arg), which must not return, in a new task whose stack ends at top (16-byte aligned). */
static inline long
raw_clone(unsigned long flags, void *top, int *clear_tid, void (*fn)(void *), void *arg)
{
	register long r10 __asm__("r10") = (long)clear_tid;
	register long r8 __asm__("r8") = 0;
	long *sp = top;
	long ret;

	*--sp = (long)arg;
	*--sp = (long)fn;
	__asm__ volatile(
		"syscall\n\t"
		"test %%rax, %%rax\n\t"
		"jnz 1f\n\t"
		"xor %%ebp, %%ebp\n\t"
		"pop %%rax\n\t"
		"pop %%rdi\n\t"
		"call *%%rax\n\t"
		"hlt\n"
		"1:"
		: "=a"(ret)
		: "0"((long)SYS_clone), "D"(flags), "S"(sp), "d"(0L), "r"(r10), "r"(r8)
		: "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

static inline long
raw(long n, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

/* raw_clone runs fn(arg), which must not return, in a new task whose stack ends at top (16-byte aligned). */
static inline long
raw_clone(unsigned long flags, void *top, int *clear_tid, void (*fn)(void *), void *arg)
{
	long *sp = top;
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1");
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = (long)clear_tid;

	*--sp = (long)arg;
	*--sp = (long)fn;
	x1 = (long)sp;
	__asm__ volatile(
		"svc 0\n\t"
		"cbnz x0, 1f\n\t"
		"mov x29, #0\n\t"
		"ldp x1, x0, [sp], #16\n\t"
		"blr x1\n\t"
		"brk #1\n"
		"1:"
		: "+r"(x0)
		: "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
		: "memory", "x30");
	return x0;
}

#else
#error "raw.h: system calls of this processor are not written yet; the worker cannot be started from a host here"
#endif

#endif
