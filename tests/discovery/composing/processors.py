"""Processors as /proc/cpuinfo names them (arch/x86/kernel/cpu/proc.c prints it; cpufeatures.h names the flags)."""

from __future__ import annotations

from .hardware import Processor

_AMD = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx "
    "mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl nonstop_tsc cpuid extd_apicid aperfmperf rapl pni "
    "pclmulqdq monitor ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand lahf_lm cmp_legacy svm "
    "extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs skinit wdt tce topoext perfctr_core perfctr_nb "
    "bpext perfctr_llc mwaitx cpb cat_l3 cdp_l3 hw_pstate ssbd mba ibrs ibpb stibp vmmcall fsgsbase bmi1 avx2 smep "
    "bmi2 "
)
_AMD_END = (
    "xsaveopt xsavec xgetbv1 xsaves cqm_llc cqm_occup_llc cqm_mbm_total cqm_mbm_local clzero irperf xsaveerptr rdpru "
    "wbnoinvd arat npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists pausefilter pfthreshold "
    "avic v_vmsave_vmload vgif v_spec_ctrl umip "
)
ZEN3 = (
    _AMD + "erms invpcid cqm rdt_a rdseed adx smap clflushopt clwb sha_ni " + _AMD_END
    + "pku ospke vaes vpclmulqdq rdpid overflow_recov succor smca fsrm debug_swap"
)  # fmt: skip
ZEN4 = (
    _AMD + "erms invpcid cqm rdt_a avx512f avx512dq rdseed adx smap avx512ifma clflushopt clwb avx512cd sha_ni "
    "avx512bw avx512vl " + _AMD_END + "avx512vbmi pku ospke avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni "
    "avx512_bitalg avx512_vpopcntdq rdpid overflow_recov succor smca fsrm flush_l1d"
)  # fmt: skip
ZEN2 = _AMD + "cqm rdt_a rdseed adx smap clflushopt clwb sha_ni " + _AMD_END + "rdpid overflow_recov succor smca"

_INTEL = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx fxsr sse sse2 ss ht "
    "tm pbe syscall nx pdpe1gb rdtscp lm constant_tsc art arch_perfmon pebs bts rep_good nopl xtopology nonstop_tsc "
    "cpuid aperfmperf "
)
ALDER_LAKE = (
    _INTEL + "tsc_known_freq pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 sdbg fma cx16 xtpr pdcm "
    "sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand lahf_lm abm 3dnowprefetch "
    "cpuid_fault ssbd ibrs ibpb stibp ibrs_enhanced tpr_shadow flexpriority ept vpid ept_ad fsgsbase tsc_adjust bmi1 "
    "avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb intel_pt sha_ni xsaveopt xsavec xgetbv1 xsaves "
    "split_lock_detect user_shstk avx_vnni dtherm ida arat pln pts hwp hwp_notify hwp_act_window hwp_epp hwp_pkg_req "
    "hfi vnmi umip pku ospke waitpkg gfni vaes vpclmulqdq tme rdpid movdiri movdir64b fsrm md_clear serialize pconfig "
    "arch_lbr ibt flush_l1d arch_capabilities"
)
SKYLAKE = (
    _INTEL + "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 sdbg fma cx16 xtpr pdcm pcid sse4_1 sse4_2 "
    "x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand lahf_lm abm 3dnowprefetch cpuid_fault epb pti "
    "ssbd ibrs ibpb stibp tpr_shadow flexpriority ept vpid ept_ad fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid "
    "mpx rdseed adx smap clflushopt intel_pt xsaveopt xsavec xgetbv1 xsaves dtherm ida arat pln pts hwp hwp_notify "
    "hwp_act_window hwp_epp vnmi md_clear flush_l1d arch_capabilities"
)

RYZEN_5950X = Processor(
    "AMD Ryzen 9 5950X 16-Core Processor", "AuthenticAMD", 25, 33, 2, "0xa20120e", 2200.0, 512, ZEN3
)
RYZEN_5600G_LESS = Processor(
    "AMD Ryzen 5 5600 6-Core Processor", "AuthenticAMD", 25, 33, 2, "0xa20120e", 2200.0, 512, ZEN3
)
RYZEN_3600 = Processor(
    "AMD Ryzen 5 3600 6-Core Processor", "AuthenticAMD", 23, 113, 0, "0x8701034", 2200.0, 512, ZEN2,
    "43 bits physical, 48 bits virtual",
)  # fmt: skip
EPYC_7313P = Processor(
    "AMD EPYC 7313P 16-Core Processor", "AuthenticAMD", 25, 1, 1, "0xa0011de", 1500.0, 512, ZEN3,
)  # fmt: skip
CORE_I7_13700 = Processor(
    "13th Gen Intel(R) Core(TM) i7-13700", "GenuineIntel", 6, 183, 1, "0x12c", 800.0, 30720, ALDER_LAKE,
    "39 bits physical, 48 bits virtual", "4224.00", hybrid=8,
)  # fmt: skip
CORE_I7_6700 = Processor(
    "Intel(R) Core(TM) i7-6700 CPU @ 3.40GHz", "GenuineIntel", 6, 94, 3, "0xf0", 800.0, 8192, SKYLAKE,
    "39 bits physical, 48 bits virtual", "6799.81",
)  # fmt: skip
