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
RYZEN_5600 = Processor("AMD Ryzen 5 5600 6-Core Processor", "AuthenticAMD", 25, 33, 2, "0xa20120e", 2200.0, 512, ZEN3)
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
RYZEN_7950X = Processor(
    "AMD Ryzen 9 7950X 16-Core Processor", "AuthenticAMD", 25, 97, 2, "0xa601209", 400.0, 1024, ZEN4,
    "48 bits physical, 48 bits virtual", "8999.98",
)  # fmt: skip
CORE_I5_4670K = Processor(
    "Intel(R) Core(TM) i5-4670K CPU @ 3.40GHz", "GenuineIntel", 6, 60, 3, "0x28", 800.0, 6144,
    SKYLAKE.replace(" clflushopt intel_pt", "").replace(" mpx rdseed adx", ""),
    "39 bits physical, 48 bits virtual", "6800.23",
)  # fmt: skip
CORE_I5_12600KF = Processor(
    "12th Gen Intel(R) Core(TM) i5-12600KF", "GenuineIntel", 6, 151, 2, "0x3a", 800.0, 20480, ALDER_LAKE,
    "46 bits physical, 48 bits virtual", "7372.80", hybrid=4,
)  # fmt: skip
CORE_I7_11800H = Processor(
    "11th Gen Intel(R) Core(TM) i7-11800H @ 2.30GHz", "GenuineIntel", 6, 141, 1, "0x56", 800.0, 24576,
    ALDER_LAKE.replace(" avx_vnni", "").replace(" serialize pconfig arch_lbr", "") + " avx512f avx512vl",
    "39 bits physical, 48 bits virtual", "4608.00",
)  # fmt: skip
INTEL_N100 = Processor(
    "Intel(R) N100", "GenuineIntel", 6, 190, 0, "0x20", 700.0, 6144, ALDER_LAKE.replace(" tme", ""),
    "39 bits physical, 48 bits virtual", "1612.80",
)  # fmt: skip
XEON_6338 = Processor(
    "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", "GenuineIntel", 6, 106, 6, "0xd000404", 2000.0, 49152,
    SKYLAKE + " avx512f avx512dq avx512cd avx512bw avx512vl sha_ni cat_l3 wbnoinvd pku ospke vaes",
    "46 bits physical, 57 bits virtual", "4000.00",
)  # fmt: skip
XEON_8259CL = Processor(
    "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "GenuineIntel", 6, 85, 7, "0x5003901", 2499.996, 36608,
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ht syscall "
    "nx pdpe1gb rdtscp lm constant_tsc rep_good nopl xtopology nonstop_tsc cpuid aperfmperf tsc_known_freq pni "
    "pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand "
    "hypervisor lahf_lm abm 3dnowprefetch pti fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid mpx avx512f "
    "avx512dq rdseed adx smap clflushopt clwb avx512cd avx512bw avx512vl xsaveopt xsavec xgetbv1 xsaves ida arat pku "
    "ospke avx512_vnni", "46 bits physical, 48 bits virtual", "4999.99",
)  # fmt: skip
QEMU_EPYC = Processor(
    "AMD EPYC-Rome Processor", "AuthenticAMD", 23, 49, 0, "0x1000065", 3393.624, 512,
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx "
    "mmxext fxsr_opt pdpe1gb rdtscp lm rep_good nopl cpuid extd_apicid tsc_known_freq pni pclmulqdq ssse3 fma cx16 "
    "sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand hypervisor lahf_lm cmp_legacy svm "
    "cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw perfctr_core ssbd ibrs ibpb stibp vmmcall fsgsbase tsc_adjust "
    "bmi1 avx2 smep bmi2 rdseed adx smap clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 clzero xsaveerptr wbnoinvd "
    "arat npt nrip_save umip rdpid arch_capabilities", "40 bits physical, 48 bits virtual",
)  # fmt: skip
NEOVERSE_V2 = Processor(
    "Neoverse-V2", "ARM", 0x41, 0xD4F, 0, "", 3447.0, 0,
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 "
    "sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm sb ssbs dcpodp sve2 sveaes svepmull svebitperm svesha3 "
    "svesm4 flagm2 frint svei8mm svebf16 i8mm bf16 dgh bti", "", "2000.00",
)  # fmt: skip
